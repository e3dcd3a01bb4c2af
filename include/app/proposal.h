/* proposal: settings under which the records of a sample would be accepted, found in the records.
 *
 * Place:    under `rollcall check --sample`.
 * Threads:  the main thread.
 * Owns:     its texts.
 * Limits:   PROPOSAL_PATHS_MAX different paths are looked at; the others are not proposed.
 */
#ifndef APP_PROPOSAL_H
#define APP_PROPOSAL_H

#include <stdio.h>

#include "app/sample.h"

enum { PROPOSAL_PATHS_MAX = 512 };

struct proposal {
    struct login_rules rules; /* what is proposed and what stays */
    bool changes_time, changes_key, changes_framing;
    struct {
        bool changes;
        const char *note; /* why there is no value; NULL: none */
    } dimensions[LOGIN_DIMENSIONS_MAX];
    size_t keyless;          /* records that stay without a key; 0 where one is proposed */
    const char *time_note;   /* why the time is Kafka's; NULL: it is not */
    struct profile *profile; /* owns the texts */
};

/* Chooses by what the records hold and by the names of what holds it. */
void proposal_init(struct proposal *proposal, const struct login_rules *rules,
                   const struct sample *sample);
void proposal_release(struct proposal *proposal);

/* Whether it differs from the rules it was made for. */
bool proposal_is_any(const struct proposal *proposal);

/* Says what no setting can help against; nothing if there is nothing. */
void proposal_explain(const struct proposal *proposal, FILE *out);

/* Writes it as a part of a configuration file. */
void proposal_print(const struct proposal *proposal, FILE *out);

#endif
