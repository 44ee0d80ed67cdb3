/* Attention of sequences with one new token each, over the keys and values of a paged cache.
 *
 * Nothing is gathered: keys and values are read where they lie. Of each sequence and key head the
 * queries that share it are taken together: their scores with every key they see, the softmax over
 * these, then the weighted sum of the values. Queries are bf16, scores and sums float32. Keys and
 * values are bf16, or int8 with a bf16 scale for each slot and head: keys are then made bf16, which
 * holds such numbers exactly, one at a time; scales multiply scores and weights.
 */
#include <math.h>
#include <string.h>

#include "lanes.h"
#include "parallel.h"

enum { PAIRS = 2 * LANES, MOST_QUERIES = 8, MOST_WIDTH = 512, LINE = 64 };
enum { AHEAD_KEYS = 16 }; /* keys, and their values, that are asked of memory before they are needed */

typedef struct {
  const uint16_t *q;            /* [sequences][kv_heads][queries][width] */
  const void *keys, *values;    /* [slots][kv_heads][width] */
  const uint16_t *key_scales;   /* [slots][kv_heads], of int8; null: they are bf16 */
  const uint16_t *value_scales; /* alike */
  const int64_t *slots;         /* of every key that is seen, sequence by sequence */
  const int64_t *bounds;        /* [sequences + 1]: where each begins among them, and the end */
  float *scores;                /* working memory, [kv_heads * queries] for each of them */
  uint16_t *out;                /* as q */
  size_t kv_heads, queries, width;
  float scale;
} Attention;

static inline __mmask16 lanes(size_t left) {
  return left < LANES ? (__mmask16)((1u << left) - 1) : 0xffff;
}

/* Scores become e^(score - the largest); returns one over their sum. */
static float softmax(float *scores, size_t count) {
  __m512 largest = _mm512_set1_ps(-INFINITY), sum = _mm512_setzero_ps();
  for (size_t i = 0; i < count; i += LANES) {
    const __mmask16 here = lanes(count - i);
    largest = _mm512_mask_max_ps(largest, here, largest, _mm512_maskz_loadu_ps(here, scores + i));
  }
  largest = _mm512_set1_ps(_mm512_reduce_max_ps(largest));
  for (size_t i = 0; i < count; i += LANES) {
    const __mmask16 here = lanes(count - i);
    const __m512 score = _mm512_maskz_loadu_ps(here, scores + i);
    const __m512 weight = exponential(_mm512_sub_ps(score, largest));
    _mm512_mask_storeu_ps(scores + i, here, weight);
    sum = _mm512_mask_add_ps(sum, here, sum, weight);
  }
  return 1 / _mm512_reduce_add_ps(sum);
}

/* One sequence and key head. */
typedef struct {
  const uint16_t *q;
  const char *keys, *values;
  const uint16_t *key_scales, *value_scales;
  const int64_t *slots;
  size_t count, heads, width; /* keys seen; heads of a slot; numbers of a head */
  float *scores;              /* [queries][count] */
  uint16_t *out;
  float scale;
} Head;

#define INLINE static inline __attribute__((always_inline))

/* Where the head of a key lies among the numbers, in bytes. */
INLINE size_t place_of(const Head *h, size_t key, const int is_int8) {
  const size_t row = h->heads * h->width;
  return (size_t)h->slots[key] * row * (is_int8 ? sizeof(int8_t) : sizeof(uint16_t));
}

INLINE float scale_of(const Head *h, const uint16_t *scales, size_t key) {
  const uint32_t bits = (uint32_t)scales[(size_t)h->slots[key] * h->heads] << 16;
  float scale;
  memcpy(&scale, &bits, sizeof scale);
  return scale;
}

INLINE __m512 widened_int8(const char *at) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)at)));
}

/* A head's numbers lie in pieces far apart, which the processor does not foresee. */
INLINE void ask(const Head *h, size_t key, const int is_int8) {
  const size_t place = place_of(h, key, is_int8);
  const size_t size = h->width * (is_int8 ? sizeof(int8_t) : sizeof(uint16_t));
  for (size_t byte = 0; byte < size; byte += LINE) {
    _mm_prefetch(h->keys + place + byte, _MM_HINT_T0);
    _mm_prefetch(h->values + place + byte, _MM_HINT_T0);
  }
}

/* The key as bf16: where it lies, or ``made`` of it. */
INLINE const uint16_t *key_of(const Head *h, size_t key, uint16_t *made, const int is_int8) {
  const char *at = h->keys + place_of(h, key, is_int8);
  if (!is_int8) return (const uint16_t *)at;
  for (size_t pair = 0; pair < h->width; pair += PAIRS) {
    const __m512 low = widened_int8(at + pair), high = widened_int8(at + pair + LANES);
    _mm512_storeu_si512(made + pair, (__m512i)_mm512_cvtne2ps_pbh(high, low));
  }
  return made;
}

INLINE void attend(const Head *h, const int queries, const int is_int8) {
  uint16_t made[MOST_WIDTH];
  for (size_t key = 0; key < h->count && key < AHEAD_KEYS; key++) ask(h, key, is_int8);
  for (size_t key = 0; key < h->count; key++) {
    if (key + AHEAD_KEYS < h->count) ask(h, key + AHEAD_KEYS, is_int8);
    const uint16_t *at = key_of(h, key, made, is_int8);
    const float scale = is_int8 ? h->scale * scale_of(h, h->key_scales, key) : h->scale;
    for (int i = 0; i < queries; i++) {
      __m512 sum = _mm512_setzero_ps();
      for (size_t pair = 0; pair < h->width; pair += PAIRS)
        sum = _mm512_dpbf16_ps(sum, (__m512bh)_mm512_loadu_si512(h->q + i * h->width + pair),
                               (__m512bh)_mm512_loadu_si512(at + pair));
      h->scores[i * h->count + key] = scale * _mm512_reduce_add_ps(sum);
    }
  }
  __m512 part[MOST_QUERIES];
  for (int i = 0; i < queries; i++)
    part[i] = _mm512_set1_ps(softmax(h->scores + i * h->count, h->count));
  if (is_int8)
    for (size_t key = 0; key < h->count; key++) {
      const float scale = scale_of(h, h->value_scales, key);
      for (int i = 0; i < queries; i++) h->scores[i * h->count + key] *= scale;
    }
  for (size_t lane = 0; lane < h->width; lane += LANES) {
    __m512 sum[MOST_QUERIES];
    for (int i = 0; i < queries; i++) sum[i] = _mm512_setzero_ps();
    for (size_t key = 0; key < h->count; key++) {
      const char *at = h->values + place_of(h, key, is_int8);
      const __m512 value = is_int8 ? widened_int8(at + lane) : widened((const uint16_t *)at + lane);
      for (int i = 0; i < queries; i++)
        sum[i] = _mm512_fmadd_ps(_mm512_set1_ps(h->scores[i * h->count + key]), value, sum[i]);
    }
    for (int i = 0; i < queries; i++)
      store_narrowed(h->out + i * h->width + lane, _mm512_mul_ps(sum[i], part[i]));
  }
}

/* So many queries at a time that each count has its own loops. */
INLINE void attend_queries(const Head *h, size_t queries, const int is_int8) {
  switch (queries) {
    case 1: attend(h, 1, is_int8); break;
    case 2: attend(h, 2, is_int8); break;
    case 3: attend(h, 3, is_int8); break;
    case 4: attend(h, 4, is_int8); break;
    case 5: attend(h, 5, is_int8); break;
    case 6: attend(h, 6, is_int8); break;
    case 7: attend(h, 7, is_int8); break;
    default: attend(h, MOST_QUERIES, is_int8);
  }
}

static void attend_head(const void *attention, size_t number) {
  const Attention *a = attention;
  const size_t sequence = number / a->kv_heads, head = number % a->kv_heads;
  const size_t begin = (size_t)a->bounds[sequence];
  const size_t count = (size_t)a->bounds[sequence + 1] - begin;
  const int is_int8 = a->key_scales != NULL;
  const size_t place = head * a->width * (is_int8 ? sizeof(int8_t) : sizeof(uint16_t));
  for (size_t first = 0; first < a->queries; first += MOST_QUERIES) {
    const size_t query = number * a->queries + first;
    const Head h = {
        .q = a->q + query * a->width,
        .keys = (const char *)a->keys + place,
        .values = (const char *)a->values + place,
        .key_scales = is_int8 ? a->key_scales + head : NULL,
        .value_scales = is_int8 ? a->value_scales + head : NULL,
        .slots = a->slots + begin,
        .count = count,
        .heads = a->kv_heads,
        .width = a->width,
        .scores = a->scores + (begin * a->kv_heads + head * count) * a->queries + first * count,
        .out = a->out + query * a->width,
        .scale = a->scale,
    };
    if (is_int8)
      attend_queries(&h, a->queries - first, 1);
    else
      attend_queries(&h, a->queries - first, 0);
  }
}

/* ``width`` is a multiple of 32 and no more than 512; every sequence sees at least one key. */
void attend_decodes(const uint16_t *q, const void *keys, const void *values,
                    const uint16_t *key_scales, const uint16_t *value_scales, const int64_t *slots,
                    const int64_t *bounds, float *scores, uint16_t *out, size_t sequences,
                    size_t kv_heads, size_t queries, size_t width, float scale, unsigned threads) {
  const Attention attention = {q,      keys, values,   key_scales, value_scales, slots, bounds,
                               scores, out,  kv_heads, queries,    width,        scale};
  run(attend_head, &attention, sequences * kv_heads, threads);
}
