/* Random bytes from the kernel, for every purpose. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* getrandom(2); aborts if the kernel cannot, since nothing safe could be done then. */
void random_bytes(void *out, size_t len);
/* Uniform in [0, bound); bound > 0. */
uint32_t random_below(uint32_t bound);

#endif
