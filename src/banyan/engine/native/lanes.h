/* Sixteen numbers at a time: bf16 to float32 and back, and their exponentials. */
#ifndef BANYAN_LANES_H
#define BANYAN_LANES_H
#include <immintrin.h>
#include <stdint.h>

enum { LANES = 16 };

static inline __m512 widened(const uint16_t *at) {
  const __m256i narrow = _mm256_loadu_si256((const __m256i *)at);
  return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow), 16);
}

static inline void store_narrowed(uint16_t *at, __m512 numbers) {
  _mm256_storeu_si256((__m256i *)at, (__m256i)_mm512_cvtneps_pbh(numbers));
}

/* e^x to 3e-7 of itself: a power of two, times a polynomial over half an octave to each side. */
static inline __m512 exponential(__m512 x) {
  const __m512 octaves = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
  __m512 rest = _mm512_fnmadd_ps(octaves, _mm512_set1_ps(0.693359375f), x);
  rest = _mm512_fnmadd_ps(octaves, _mm512_set1_ps(-2.12194440e-4f), rest);
  const float series[] = {1.0f / 120, 1.0f / 24, 1.0f / 6, 1.0f / 2, 1, 1};
  __m512 sum = _mm512_set1_ps(1.0f / 720);
  for (int i = 0; i < 6; i++) sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(series[i]));
  return _mm512_scalef_ps(sum, octaves);
}
#endif
