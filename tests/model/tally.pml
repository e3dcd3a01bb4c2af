/* How often each event occurred during the search, to prove that the model reaches it. The counters
 * are in C and not part of the model's state. They are printed when the checker exits. */
c_decl {
    enum event {
        STORED, KEPT, STALE, FIRST_READ, VANISHED, OVERTAKEN, ROLLED_BACK,
        UNPUBLISHED, REJECTED, BEGUN, BEGUN_ELSEWHERE, ADOPTS, CUT_OFF, EVENTS
    };
    static unsigned long event_counts[EVENTS];
    static void print_events(void) {
        static const char *const names[EVENTS] = {
            "stored", "kept", "stale", "first_read", "vanished", "overtaken", "rolled_back",
            "unpublished", "rejected", "begun", "begun_elsewhere", "adopts", "cut_off"
        };
        int i;
        for (i = 0; i < EVENTS; i++) printf("occurred: %s %lu\n", names[i], event_counts[i]);
    }
}
#define OCCURS(event) c_code { event_counts[event]++; }
