/* What a program of the corpus has done, and how late: see corpus.h.
 *
 * Ticks are counted, or operations where a program says `done`. A tick is as late as it is done after
 * it was due. Who is more than a second late leaves out what is older, as clients give up.
 */
#ifndef METER_H
#define METER_H

/* Eight steps for each doubling of microseconds. */
#define CORPUS_STEPS 320

static long corpus_operations, corpus_ticks, corpus_worst, corpus_late[CORPUS_STEPS];
static long corpus_read_at, corpus_worked_until;

static inline long corpus_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

static inline long corpus_now(void)
{
    return corpus_clock(CLOCK_MONOTONIC);
}

/* So many operations were done. */
static inline void done(long operations)
{
    __atomic_fetch_add(&corpus_operations, operations, __ATOMIC_RELAXED);
}

/* Whether a share of a tick's time is left that began at a time: for who works as fast as it can. */
static inline int within(long began, int percent)
{
    return corpus_now() - began < TICK_NS / 100 * percent;
}

/* Nanoseconds until a tick is due: 0 when it is, and at most the length of one. */
static long corpus_wait(long *began, long number)
{
    long wait = *began + number * TICK_NS - corpus_now();
    if (wait < -1000000000L)
        *began -= wait + 1000000000L;
    return wait < 0 ? 0 : wait < TICK_NS ? wait : TICK_NS;
}

static int corpus_step(long microseconds)
{
    int doublings = 0;
    while (microseconds >> doublings >= 16)
        doublings++;
    return doublings * 8 + (int)(microseconds >> doublings);
}

static long corpus_least(int step)
{
    return step < 16 ? step : (long)(8 + step % 8) << (step / 8 - 1);
}

/* A tick was done. */
static void corpus_ticked(long began, long number)
{
    long late = (corpus_now() - began - number * TICK_NS) / 1000;
    long worst = __atomic_load_n(&corpus_worst, __ATOMIC_RELAXED);
    if (late > worst)
        __atomic_store_n(&corpus_worst, late, __ATOMIC_RELAXED);
    __atomic_fetch_add(&corpus_late[corpus_step(late < 0 ? 0 : late)], 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&corpus_ticks, 1, __ATOMIC_RELAXED);
}

static long corpus_reset(long *count)
{
    return __atomic_exchange_n(count, 0, __ATOMIC_RELAXED);
}

/* Say what was done since it was last said. */
static void corpus_tell(void)
{
    long late[CORPUS_STEPS], now = corpus_now(), worked = corpus_clock(CLOCK_PROCESS_CPUTIME_ID);
    long operations = corpus_reset(&corpus_operations), ticks = corpus_reset(&corpus_ticks), all = 0;
    for (int step = 0; step < CORPUS_STEPS; step++)
        all += late[step] = corpus_reset(&corpus_late[step]);
    int step = CORPUS_STEPS - 1;
    for (long above = late[step]; step > 0 && above * 100 <= all; above += late[step])
        step--;
    printf("meter %ld %ld %ld %ld %ld\n", operations ? operations : ticks,
           (now - corpus_read_at) / 1000, corpus_least(step), corpus_reset(&corpus_worst),
           (worked - corpus_worked_until) / 1000);
    fflush(stdout);
    corpus_read_at = now;
    corpus_worked_until = worked;
}

#endif
