/* rollcall check --sample N: how the newest records would be judged, and under which settings more
 * of them would be accepted. */
#include "app/check_sample.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "app/commands.h"
#include "app/proposal.h"
#include "app/sample.h"
#include "base/error.h"

/* What became of the records under some rules. */
struct tally_of_verdicts {
    size_t counts[LOGIN_REASON_COUNT];
    size_t examples[LOGIN_REASON_COUNT]; /* the first record of each */
    char details[LOGIN_REASON_COUNT][256];
};

static void judge_all(const struct login_rules *rules, const struct sample *sample,
                      struct tally_of_verdicts *tally) {
    struct login_judge *judge = login_judge_create(rules);
    *tally = (struct tally_of_verdicts){0};
    for (size_t i = 0; i < sample->count; i++) {
        struct login login;
        sample_judge(judge, &sample->records[i], &login);
        if (tally->counts[login.reason]++ > 0) continue;
        tally->examples[login.reason] = i;
        snprintf(tally->details[login.reason], sizeof tally->details[0], "%s", login.detail);
    }
    login_judge_destroy(&judge);
}

static void print_reasons(const struct sample *sample, const struct tally_of_verdicts *tally,
                          const char *begin) {
    for (int reason = LOGIN_ACCEPTED + 1; reason < LOGIN_REASON_COUNT; reason++) {
        if (tally->counts[reason] == 0) continue;
        const struct sample_record *record = &sample->records[tally->examples[reason]];
        commands_say("%s%s: %zu records, for example partition %d, offset %" PRId64 ": %s", begin,
                     login_reason_name((enum login_reason)reason), tally->counts[reason],
                     (int)record->partition, record->offset, tally->details[reason]);
    }
}

static void propose(const struct login_rules *rules, const struct sample *sample,
                    const struct tally_of_verdicts *now) {
    struct proposal proposal;
    struct tally_of_verdicts then;
    proposal_init(&proposal, rules, sample);
    proposal_explain(&proposal, stdout);
    if (proposal_is_any(&proposal)) {
        judge_all(&proposal.rules, sample, &then);
        if (then.counts[LOGIN_ACCEPTED] > now->counts[LOGIN_ACCEPTED]) {
            printf("\n; with these settings %zu of %zu would be accepted\n",
                   then.counts[LOGIN_ACCEPTED], sample->count);
            print_reasons(sample, &then, "; ");
            proposal_print(&proposal, stdout);
            proposal_release(&proposal);
            return;
        }
    }
    puts("\n; no settings were found under which more would be accepted");
    proposal_release(&proposal);
}

int check_sample(const struct config *config, size_t max) {
    struct error error;
    struct login_rules rules;
    struct tally_of_verdicts tally;
    login_rules_init(&rules, &config->login, &config->aggregate.dimensions);
    aggregates_add_uniques(&config->aggregate, &rules);
    struct sample *sample = sample_read(config, max, &error);
    if (sample == NULL) {
        commands_say("bad %s", error.text);
        return 1;
    }
    judge_all(&rules, sample, &tally);
    const size_t accepted = tally.counts[LOGIN_ACCEPTED];
    const bool is_good = accepted == sample->count;
    if (sample->count == 0) {
        printf("ok  %s holds no record\n", config->source.topic);
    } else {
        printf("%s %zu of the newest %zu records of %s would be accepted", is_good ? "ok " : "bad",
               accepted, sample->count, config->source.topic);
        if (sample->is_cut) {
            printf("; %zu were asked for, and no more fit in half of instance.memory_mb, which is "
                   "%d: raise it to read them",
                   max, config->instance.memory_mb);
        }
        puts("");
    }
    print_reasons(sample, &tally, "bad ");
    if (!is_good) propose(&rules, sample, &tally);
    sample_destroy(&sample);
    return is_good ? 0 : 1;
}
