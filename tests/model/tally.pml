/* How often each thing befell on the way through the states: nobody has to believe that the model
 * gets there. In C, and no part of the model's state; printed when the checker ends. */
c_decl {
    enum befalling {
        STORED, KEPT, STALE, FIRST_READ, VANISHED, OVERTAKEN, ROLLED_BACK,
        UNPUBLISHED, REFUSED, BEGUN, BEGUN_ELSEWHERE, ADOPTS, BEFALLINGS
    };
    static unsigned long befallen[BEFALLINGS];
    static void tell_befallen(void) {
        static const char *const names[BEFALLINGS] = {
            "stored", "kept", "stale", "first_read", "vanished", "overtaken", "rolled_back",
            "unpublished", "refused", "begun", "begun_elsewhere", "adopts"
        };
        int i;
        for (i = 0; i < BEFALLINGS; i++) printf("befell: %s %lu\n", names[i], befallen[i]);
    }
}
#define BEFALLS(what) c_code { befallen[what]++; }
