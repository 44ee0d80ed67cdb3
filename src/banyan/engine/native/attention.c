/* Attention of sequences with one new token each, over the keys and values of a paged cache.
 *
 * Nothing is gathered: keys and values are read where they lie. Of each sequence and key head the
 * queries that share it are taken together: their scores with every key they see, the softmax over
 * these, then the weighted sum of the values. Numbers are bf16, scores and sums float32.
 */
#include <math.h>

#include "lanes.h"
#include "parallel.h"

enum { PAIRS = 2 * LANES, MOST_QUERIES = 8, LINE = 64 };
enum { AHEAD_KEYS = 16 }; /* keys, and their values, that are asked of memory before they are needed */

typedef struct {
  const uint16_t *q;      /* [sequences][kv_heads][queries][width] */
  const uint16_t *keys;   /* [slots][kv_heads][width] */
  const uint16_t *values; /* alike */
  const int64_t *slots;   /* of every key that is seen, sequence by sequence */
  const int64_t *bounds;  /* [sequences + 1]: where each sequence begins among them, and the end */
  float *scores;          /* working memory, [kv_heads * queries] for each of them */
  uint16_t *out;          /* as q */
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
  const uint16_t *q, *keys, *values;
  const int64_t *slots;
  size_t count, row, width; /* keys seen; numbers from one slot to the next; numbers of a head */
  float *scores;            /* [queries][count] */
  uint16_t *out;
  float scale;
} Head;

/* A head's numbers lie in pieces far apart, which the processor does not foresee. */
static inline void ask(const Head *h, size_t key) {
  const size_t place = (size_t)h->slots[key] * h->row;
  for (size_t byte = 0; byte < h->width * sizeof(uint16_t); byte += LINE) {
    _mm_prefetch((const char *)(h->keys + place) + byte, _MM_HINT_T0);
    _mm_prefetch((const char *)(h->values + place) + byte, _MM_HINT_T0);
  }
}

static inline __attribute__((always_inline)) void attend(const Head *h, const int queries) {
  for (size_t key = 0; key < h->count && key < AHEAD_KEYS; key++) ask(h, key);
  for (size_t key = 0; key < h->count; key++) {
    if (key + AHEAD_KEYS < h->count) ask(h, key + AHEAD_KEYS);
    const uint16_t *at = h->keys + (size_t)h->slots[key] * h->row;
    for (int i = 0; i < queries; i++) {
      __m512 sum = _mm512_setzero_ps();
      for (size_t pair = 0; pair < h->width; pair += PAIRS)
        sum = _mm512_dpbf16_ps(sum, (__m512bh)_mm512_loadu_si512(h->q + i * h->width + pair),
                               (__m512bh)_mm512_loadu_si512(at + pair));
      h->scores[i * h->count + key] = h->scale * _mm512_reduce_add_ps(sum);
    }
  }
  __m512 part[MOST_QUERIES];
  for (int i = 0; i < queries; i++)
    part[i] = _mm512_set1_ps(softmax(h->scores + i * h->count, h->count));
  for (size_t lane = 0; lane < h->width; lane += LANES) {
    __m512 sum[MOST_QUERIES];
    for (int i = 0; i < queries; i++) sum[i] = _mm512_setzero_ps();
    for (size_t key = 0; key < h->count; key++) {
      const __m512 value = widened(h->values + (size_t)h->slots[key] * h->row + lane);
      for (int i = 0; i < queries; i++)
        sum[i] = _mm512_fmadd_ps(_mm512_set1_ps(h->scores[i * h->count + key]), value, sum[i]);
    }
    for (int i = 0; i < queries; i++)
      store_narrowed(h->out + i * h->width + lane, _mm512_mul_ps(sum[i], part[i]));
  }
}

static void attend_head(const void *attention, size_t number) {
  const Attention *a = attention;
  const size_t sequence = number / a->kv_heads, head = number % a->kv_heads;
  const size_t begin = (size_t)a->bounds[sequence];
  const size_t count = (size_t)a->bounds[sequence + 1] - begin;
  for (size_t first = 0; first < a->queries; first += MOST_QUERIES) {
    const size_t query = number * a->queries + first;
    const Head h = {
        a->q + query * a->width, a->keys + head * a->width, a->values + head * a->width,
        a->slots + begin, count, a->kv_heads * a->width, a->width,
        a->scores + (begin * a->kv_heads + head * count) * a->queries + first * count,
        a->out + query * a->width, a->scale};
    switch (a->queries - first) {
      case 1: attend(&h, 1); break;
      case 2: attend(&h, 2); break;
      case 3: attend(&h, 3); break;
      case 4: attend(&h, 4); break;
      case 5: attend(&h, 5); break;
      case 6: attend(&h, 6); break;
      case 7: attend(&h, 7); break;
      default: attend(&h, MOST_QUERIES);
    }
  }
}

/* ``width`` is a multiple of 32; every sequence sees at least one key. */
void attend_decodes(const uint16_t *q, const uint16_t *keys, const uint16_t *values,
                    const int64_t *slots, const int64_t *bounds, float *scores, uint16_t *out,
                    size_t sequences, size_t kv_heads, size_t queries, size_t width, float scale,
                    unsigned threads) {
  const Attention attention = {q,   keys,     values,  slots, bounds, scores,
                               out, kv_heads, queries, width, scale};
  run(attend_head, &attention, sequences * kv_heads, threads);
}
