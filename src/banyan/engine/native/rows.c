/* What a block does between its products, row by row, each in one pass over memory.
 *
 * The stream between the layers is float32; what goes into products and comes out of them is bf16.
 * Arithmetic is float32. Rows are multiples of 16 numbers.
 */
#include <math.h>

#include "lanes.h"
#include "parallel.h"

typedef struct {
  const float *x, *weight;
  uint16_t *out;
  size_t width;
  float eps;
} Norm;

static void norm_row(const void *norm, size_t row) {
  const Norm *p = norm;
  const float *x = p->x + row * p->width;
  __m512 squares = _mm512_setzero_ps();
  for (size_t i = 0; i < p->width; i += LANES) {
    const __m512 numbers = _mm512_loadu_ps(x + i);
    squares = _mm512_fmadd_ps(numbers, numbers, squares);
  }
  const float mean = _mm512_reduce_add_ps(squares) / p->width;
  const __m512 scale = _mm512_set1_ps(1 / sqrtf(mean + p->eps));
  for (size_t i = 0; i < p->width; i += LANES) {
    const __m512 normed = _mm512_mul_ps(_mm512_loadu_ps(x + i), scale);
    const __m512 weighed = _mm512_mul_ps(normed, _mm512_loadu_ps(p->weight + i));
    store_narrowed(p->out + row * p->width + i, weighed);
  }
}

/* out = x / sqrt(mean(x^2) + eps) * weight. */
void rms_norm(const float *x, const float *weight, const float *eps, uint16_t *out, size_t rows,
              size_t width, unsigned threads) {
  const Norm norm = {x, weight, out, width, *eps};
  run(norm_row, &norm, rows, threads);
}

typedef struct {
  float *x;
  const uint16_t *y;
  size_t width;
} Sum;

static void add_row(const void *sum, size_t row) {
  const Sum *p = sum;
  const size_t begin = row * p->width;
  for (size_t i = begin; i < begin + p->width; i += LANES)
    _mm512_storeu_ps(p->x + i, _mm512_add_ps(_mm512_loadu_ps(p->x + i), widened(p->y + i)));
}

/* x += y. */
void add_to_stream(float *x, const uint16_t *y, size_t rows, size_t width, unsigned threads) {
  const Sum sum = {x, y, width};
  run(add_row, &sum, rows, threads);
}

typedef struct {
  const uint16_t *gate_up;
  uint16_t *out;
  size_t width;
} Gate;

static void gate_row(const void *gate, size_t row) {
  const Gate *p = gate;
  const uint16_t *of_gate = p->gate_up + 2 * row * p->width, *up = of_gate + p->width;
  for (size_t i = 0; i < p->width; i += LANES) {
    const __m512 x = widened(of_gate + i);
    const __m512 below = exponential(_mm512_sub_ps(_mm512_setzero_ps(), x));
    const __m512 silu = _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1), below));
    store_narrowed(p->out + row * p->width + i, _mm512_mul_ps(silu, widened(up + i)));
  }
}

/* out [width] = silu(gate) * up, of rows that hold the gates [width] and then the ups [width]. */
void silu_gate(const uint16_t *gate_up, uint16_t *out, size_t rows, size_t width, unsigned threads) {
  const Gate gate = {gate_up, out, width};
  run(gate_row, &gate, rows, threads);
}

typedef struct {
  uint16_t *x;
  const uint16_t *cos, *sin;
  size_t heads, width, row; /* ``row``: numbers from one row to the next */
} Turn;

static void rotate_row(const void *turn, size_t row) {
  const Turn *p = turn;
  const size_t half = p->width / 2;
  const uint16_t *cos = p->cos + row * p->width, *sin = p->sin + row * p->width;
  for (size_t head = 0; head < p->heads; head++) {
    uint16_t *x = p->x + row * p->row + head * p->width;
    for (size_t i = 0; i < half; i += LANES) {
      const __m512 low = widened(x + i), high = widened(x + half + i);
      const __m512 turned = _mm512_mul_ps(high, widened(sin + i));
      store_narrowed(x + i, _mm512_fmadd_ps(low, widened(cos + i), turned));
      const __m512 back = _mm512_mul_ps(low, widened(sin + half + i));
      store_narrowed(x + half + i, _mm512_fmadd_ps(high, widened(cos + half + i), back));
    }
  }
}

/* Rotary embedding, in place; cos and sin [rows][width] as in rope.py. */
void rotate_heads(uint16_t *x, const uint16_t *cos, const uint16_t *sin, size_t rows, size_t heads,
                  size_t width, size_t row, unsigned threads) {
  const Turn turn = {x, cos, sin, heads, width, row};
  run(rotate_row, &turn, rows, threads);
}
