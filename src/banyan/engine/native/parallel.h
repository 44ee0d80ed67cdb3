/* A loop over the threads of the OpenMP library that torch has loaded; without one, this thread. */
#ifndef BANYAN_PARALLEL_H
#define BANYAN_PARALLEL_H
#include <stddef.h>

extern void GOMP_parallel(void (*)(void *), void *, unsigned, unsigned) __attribute__((weak));
extern int omp_get_thread_num(void) __attribute__((weak));
extern int omp_get_num_threads(void) __attribute__((weak));

typedef struct {
  void (*step)(const void *of, size_t number);
  const void *of;
  size_t count;
} Loop;

static void run_part(void *loop) {
  const Loop *p = loop;
  const size_t threads = omp_get_num_threads ? (size_t)omp_get_num_threads() : 1;
  const size_t thread = omp_get_thread_num ? (size_t)omp_get_thread_num() : 0;
  const size_t end = p->count * (thread + 1) / threads;
  for (size_t number = p->count * thread / threads; number < end; number++) p->step(p->of, number);
}

/* ``step(of, 0 .. count - 1)``, each once, on at most ``threads`` threads. */
static void run(void (*step)(const void *, size_t), const void *of, size_t count, unsigned threads) {
  Loop loop = {step, of, count};
  if (threads > 1 && count > 1 && GOMP_parallel)
    GOMP_parallel(run_part, &loop, threads, 0);
  else
    for (size_t number = 0; number < count; number++) step(of, number);
}
#endif
