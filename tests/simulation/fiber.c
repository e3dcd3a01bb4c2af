#include "fiber.h"

#include <assert.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

enum { STACK_BYTES = 256 << 10 };

static struct fiber *left; /* by the last switch */
static void (*run_fiber)(void);

/* First thing on a stack that was switched to. AddressSanitizer reports where the stack is that was
 * left. */
static void arrive(void *fake_stack) {
#if defined(__SANITIZE_ADDRESS__)
    const void *stack = NULL;
    size_t bytes = 0;
    __sanitizer_finish_switch_fiber(fake_stack, &stack, &bytes);
    left->stack = (void *)stack;
    left->bytes = bytes;
#else
    (void)fake_stack;
#endif
}

static void begin(void) {
    arrive(NULL);
    run_fiber();
}

void fiber_make(struct fiber *fiber, void (*run)(void)) {
    run_fiber = run;
    fiber->bytes = STACK_BYTES;
    fiber->stack = mmap(NULL, fiber->bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    assert(fiber->stack != MAP_FAILED);
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = fiber->bytes;
    makecontext(&fiber->context, begin, 0);
#if defined(__SANITIZE_THREAD__)
    fiber->sanitizer = __tsan_create_fiber(0);
#endif
}

void fiber_switch(struct fiber *from, struct fiber *to) {
    void *fake_stack = NULL;
    left = from;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&fake_stack, to->stack, to->bytes);
#endif
#if defined(__SANITIZE_THREAD__)
    if (from->sanitizer == NULL) from->sanitizer = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to->sanitizer, 0);
#endif
    swapcontext(&from->context, &to->context);
    arrive(fake_stack);
}
