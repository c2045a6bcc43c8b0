/* Forty images are loaded in a second, worked on for another one, and freed together.
 * rate: 300
 * keeps: load_image
 * keeps: make_thumbnail */
#include "corpus.h"

static struct queue images;

NOINLINE static void *load_image(void)
{
    return use(malloc(200000 + corpus_random(100000)), 200000);
}

NOINLINE static void *make_thumbnail(void)
{
    return use(malloc(3000), 3000);
}

static void start(void) {}

static void tick(long number)
{
    long phase = number % (2 * HZ);
    if (phase < HZ && phase % 5 < 2)
        queue_put(&images, load_image());
    for (int i = 0; phase >= HZ && i < 5; i++) {
        void *thumbnail = make_thumbnail();
        work(50);
        free(thumbnail);
    }
    if (phase == 2 * HZ - 1)
        while (queue_length(&images))
            queue_free(&images);
    done(1);
}
