/* Products of four-bit matrices with bf16 rows, for x86 processors with AVX-512 BF16.
 *
 * One row at a time such a product can only be as fast as memory gives the codes, so a code must cost
 * less than one instruction: a 16-entry table in a register turns 32 codes into bf16 at once
 * (vpermw), and vdpbf16ps multiplies pairs of them for sixteen outputs at once. Sums are float32, and
 * a row's sum is made in the same order in whatever batch it stands.
 *
 * A matrix [out, in] lies in blocks of 16 outputs; a block is its grains of 32 inputs one after
 * another, each four vectors of codes. In vector v the 16-bit word 2 * output + j holds the codes of
 * inputs 8 v + 2 s + j, s = 0..3 from the lowest bits up. A number is (code - 8) * scale + zero.
 */
#include "lanes.h"
#include "parallel.h"

enum { OUTPUTS = 16, GRAIN = 32, VECTOR = 64, GRAIN_BYTES = OUTPUTS * GRAIN / 2, MOST_ROWS = 8 };
enum { AHEAD_BYTES = 4096 }; /* what is asked of memory before it is needed */

typedef struct {
  const uint8_t *codes;   /* [blocks][grains][GRAIN_BYTES] */
  const uint16_t *scales; /* [blocks][grains][OUTPUTS] */
  const uint16_t *zeros;  /* alike; NULL where all are 0 */
  const uint16_t *x;      /* [rows][grains][GRAIN] */
  const float *sums;      /* [rows][grains], of each grain's inputs: what its zero is multiplied with */
  uint16_t *y;            /* [rows][blocks][OUTPUTS] */
  size_t rows, grains, blocks;
} Product;

static inline __attribute__((always_inline)) void multiply(const Product *p, size_t block,
                                                           size_t first, const int rows) {
  const __m256i values = (__m256i)_mm512_cvtneps_pbh(
      _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7));
  /* vpermw looks at five bits, of which the highest belongs to the next code: twice the table. */
  const __m512i table = _mm512_broadcast_i64x4(values);
  __m512 out[MOST_ROWS];
  for (int i = 0; i < rows; i++) out[i] = _mm512_setzero_ps();
  for (size_t grain = 0; grain < p->grains; grain++) {
    const size_t place = block * p->grains + grain;
    const uint8_t *codes = p->codes + place * GRAIN_BYTES;
    for (int line = 0; line < GRAIN_BYTES; line += VECTOR)
      _mm_prefetch((const char *)codes + AHEAD_BYTES + line, _MM_HINT_T0);
    __m512 even[MOST_ROWS], odd[MOST_ROWS]; /* two chains, for a product takes six cycles */
    const int32_t *pairs[MOST_ROWS];
    for (int i = 0; i < rows; i++) {
      even[i] = odd[i] = _mm512_setzero_ps();
      pairs[i] = (const int32_t *)(p->x + ((first + i) * p->grains + grain) * GRAIN);
    }
#pragma GCC unroll 16
    for (int k = 0; k < GRAIN / 2; k++) {
      const __m512i word = _mm512_loadu_si512(codes + k / 4 * VECTOR);
      const __m512bh numbers =
          (__m512bh)_mm512_permutexvar_epi16(_mm512_srli_epi16(word, k % 4 * 4), table);
      for (int i = 0; i < rows; i++) {
        const __m512bh pair = (__m512bh)_mm512_set1_epi32(pairs[i][k]);
        if (k % 2)
          odd[i] = _mm512_dpbf16_ps(odd[i], numbers, pair);
        else
          even[i] = _mm512_dpbf16_ps(even[i], numbers, pair);
      }
    }
    const __m512 scale = widened(p->scales + place * OUTPUTS);
    for (int i = 0; i < rows; i++)
      out[i] = _mm512_fmadd_ps(_mm512_add_ps(even[i], odd[i]), scale, out[i]);
    if (!p->zeros) continue;
    const __m512 zero = widened(p->zeros + place * OUTPUTS);
    for (int i = 0; i < rows; i++) {
      const __m512 sum = _mm512_set1_ps(p->sums[(first + i) * p->grains + grain]);
      out[i] = _mm512_fmadd_ps(zero, sum, out[i]);
    }
  }
  for (int i = 0; i < rows; i++)
    store_narrowed(p->y + ((first + i) * p->blocks + block) * OUTPUTS, out[i]);
}

/* A block's codes stay in the cache while all rows pass. */
static void multiply_block(const void *product, size_t block) {
  const Product *p = product;
  for (size_t first = 0; first < p->rows; first += MOST_ROWS) {
    switch (p->rows - first) {
      case 1: multiply(p, block, first, 1); break;
      case 2: multiply(p, block, first, 2); break;
      case 3: multiply(p, block, first, 3); break;
      case 4: multiply(p, block, first, 4); break;
      case 5: multiply(p, block, first, 5); break;
      case 6: multiply(p, block, first, 6); break;
      case 7: multiply(p, block, first, 7); break;
      default: multiply(p, block, first, MOST_ROWS);
    }
  }
}

/* y = x W^T with ``threads`` threads; ``sums`` [rows][grains] is working memory. */
void four_bit_multiply(const uint8_t *codes, const uint16_t *scales, const uint16_t *zeros,
                       const uint16_t *x, float *sums, uint16_t *y, size_t rows, size_t grains,
                       size_t blocks, unsigned threads) {
  const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
  for (size_t i = 0; zeros && i < rows * grains; i++)
    sums[i] = _mm512_reduce_add_ps(_mm512_dpbf16_ps(
        _mm512_setzero_ps(), (__m512bh)_mm512_loadu_si512(x + i * GRAIN), ones));
  const Product product = {codes, scales, zeros, x, sums, y, rows, grains, blocks};
  run(multiply_block, &product, blocks, threads);
}
