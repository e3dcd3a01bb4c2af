/* fiber: a stack of its own, on which the one thread can continue.
 *
 * Source:   makecontext(3); the sanitizers' interface for fibers.
 */
#ifndef TESTS_SIMULATION_FIBER_H
#define TESTS_SIMULATION_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <ucontext.h>

struct fiber { /* all zero is the stack that the program began on */
    ucontext_t context;
    void *stack;     /* NULL: not made, or the first one, as long as nothing has left it */
    size_t bytes;    /* of the stack */
    void *sanitizer; /* what ThreadSanitizer knows it by */
};

/* Gives it a stack, on which `run` begins when it is switched to first; run never returns. */
void fiber_make(struct fiber *fiber, void (*run)(void));

/* Leaves `from`, which is the present one, and continues where `to` was left. Returns when somebody
 * switches back. */
void fiber_switch(struct fiber *from, struct fiber *to);

#endif
