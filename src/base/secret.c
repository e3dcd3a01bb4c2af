#include "base/secret.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"

struct secret {
    pthread_mutex_t lock;
    char *text; /* guarded by lock */
};

struct secret *secret_create(const char *text) {
    struct secret *secret = memory_create(sizeof *secret);
    pthread_mutex_init(&secret->lock, NULL);
    secret->text = memory_text(text);
    return secret;
}

void secret_forget(char *text) {
    if (text != NULL) explicit_bzero(text, strlen(text));
    free(text);
}

void secret_destroy(struct secret **secret) {
    if (*secret == NULL) return;
    secret_forget((*secret)->text);
    pthread_mutex_destroy(&(*secret)->lock);
    free(*secret);
    *secret = NULL;
}

void secret_set(struct secret *secret, const char *text) {
    char *fresh = memory_text(text);
    pthread_mutex_lock(&secret->lock);
    char *old = secret->text;
    secret->text = fresh;
    pthread_mutex_unlock(&secret->lock);
    secret_forget(old);
}

char *secret_copy(struct secret *secret) {
    if (secret == NULL) return NULL;
    pthread_mutex_lock(&secret->lock);
    char *copy = memory_text(secret->text);
    pthread_mutex_unlock(&secret->lock);
    return copy;
}

char *secret_read(struct secret *secret, const char *path, struct error *error) {
    return path == NULL ? secret_copy(secret) : file_read_secret(path, error);
}

char *secret_hide_users(const char *text) {
    struct text shown = {0};
    const char *scheme;
    while ((scheme = strstr(text, "://")) != NULL) {
        const char *begin = scheme + 3, *end = begin + strcspn(begin, " \t\"");
        const char *at = memrchr(begin, '@', (size_t)(end - begin));
        text_add_bytes(&shown, text, (size_t)(begin - text));
        if (at != NULL) text_add(&shown, "***");
        text = at == NULL ? begin : at;
    }
    text_add(&shown, text);
    char *copy = memory_text(text_string(&shown));
    text_release(&shown);
    return copy;
}
