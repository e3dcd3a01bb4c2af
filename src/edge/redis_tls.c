/* hiredis does the reading and writing. What it is to trust is decided here, with an SSL object of
 * our own, since hiredis up to 1.4 never compares the certificate's name with the host's. */
#include "redis_tls.h"

#ifdef HAVE_HIREDIS_SSL
#include <errno.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

struct redis_tls {
    char *ca, *certificate, *key; /* fixed: the paths, NULL: none */
    pthread_mutex_t lock;
    /* guarded by the lock */
    SSL_CTX *settings;
    uint64_t digest; /* of the files, as they were read or could not be used last */
};

/* The last thing that OpenSSL complained about. */
static const char *complaint(void) {
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text == NULL ? strerror(errno) : text;
}

static bool read_files(SSL_CTX *settings, const struct redis_tls *tls, struct error *error) {
    const char *ca = tls->ca, *certificate = tls->certificate, *key = tls->key;
    ERR_clear_error();
    if (ca != NULL && SSL_CTX_load_verify_locations(settings, ca, NULL) != 1) {
        return error_set(error,
                         "redis.ca_file %s cannot be used (%s): name a file with "
                         "certificates in PEM",
                         ca, complaint());
    }
    if ((certificate == NULL) != (key == NULL)) {
        return error_set(error, "redis.cert_file and redis.key_file belong together: set both, or "
                                "none");
    }
    if (certificate == NULL) return true;
    if (SSL_CTX_use_certificate_chain_file(settings, certificate) != 1) {
        return error_set(error,
                         "redis.cert_file %s cannot be used (%s): name a file with a "
                         "certificate in PEM",
                         certificate, complaint());
    }
    return (SSL_CTX_use_PrivateKey_file(settings, key, SSL_FILETYPE_PEM) == 1 &&
            SSL_CTX_check_private_key(settings) == 1) ||
           error_set(error,
                     "redis.key_file %s cannot be used (%s): name a file with the key of "
                     "redis.cert_file in PEM, without a password",
                     key, complaint());
}

static SSL_CTX *make_settings(const struct redis_tls *tls, struct error *error) {
    SSL_CTX *settings = SSL_CTX_new(TLS_client_method());
    if (settings == NULL) memory_none();
    SSL_CTX_set_verify(settings, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_set_min_proto_version(settings, TLS1_2_VERSION) != 1 ||
        (tls->ca == NULL && SSL_CTX_set_default_verify_paths(settings) != 1)) {
        error_set(error, "TLS with Redis cannot be set up by this OpenSSL");
    } else if (read_files(settings, tls, error)) {
        return settings;
    }
    SSL_CTX_free(settings);
    return NULL;
}

static char *copy(const char *text) {
    return text == NULL ? NULL : memory_text(text);
}

struct redis_tls *redis_tls_create(const char *ca, const char *certificate, const char *key,
                                   struct error *error) {
    struct redis_tls *tls = memory_create(sizeof *tls);
    pthread_mutex_init(&tls->lock, NULL);
    tls->ca = copy(ca);
    tls->certificate = copy(certificate);
    tls->key = copy(key);
    tls->digest = redis_tls_digest(tls);
    tls->settings = make_settings(tls, error);
    if (tls->settings == NULL) redis_tls_destroy(&tls);
    return tls;
}

void redis_tls_destroy(struct redis_tls **tls) {
    if (*tls == NULL) return;
    SSL_CTX_free((*tls)->settings);
    pthread_mutex_destroy(&(*tls)->lock);
    free((*tls)->ca);
    free((*tls)->certificate);
    free((*tls)->key);
    free(*tls);
    *tls = NULL;
}

uint64_t redis_tls_digest(const struct redis_tls *tls) {
    uint64_t digest = 0;
    if (tls == NULL) return 0;
    const char *paths[] = {tls->ca, tls->certificate, tls->key};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (paths[i] != NULL) digest = file_digest(paths[i], digest);
    return digest;
}

/* With the files as they are now, if they can be used. */
static SSL *make_session(struct redis_tls *tls) {
    struct error why;
    pthread_mutex_lock(&tls->lock);
    const uint64_t digest = redis_tls_digest(tls);
    SSL_CTX *fresh = digest == tls->digest ? NULL : make_settings(tls, &why);
    if (fresh != NULL) {
        SSL_CTX_free(tls->settings);
        tls->settings = fresh;
    } else if (digest != tls->digest) {
        log_warn("The new certificates of Redis cannot be used: those before them are kept",
                 log_text("reason", why.text));
    }
    tls->digest = digest;
    SSL *ssl = SSL_new(tls->settings);
    pthread_mutex_unlock(&tls->lock);
    return ssl;
}

/* Names the host to whom the certificate must belong, and asks for it, unless it is an IP address,
 * which is no name to ask for (RFC 6066). */
static bool expect(SSL *ssl, const char *host, bool *is_address) {
    X509_VERIFY_PARAM *wanted = SSL_get0_param(ssl);
    *is_address = X509_VERIFY_PARAM_set1_ip_asc(wanted, host) == 1;
    return *is_address || (X509_VERIFY_PARAM_set1_host(wanted, host, 0) == 1 &&
                           SSL_set_tlsext_host_name(ssl, host) == 1);
}

static void blame_certificate(const char *host, bool is_address, long verdict, const char *where,
                              struct error *error) {
    if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        error_set(error,
                  "the certificate of Redis at %s is not for %s: call it in redis.url by a name in "
                  "its certificate, or add this one to the certificate (subjectAltName %s:%s)",
                  where, host, is_address ? "IP" : "DNS", host);
    } else {
        error_set(error,
                  "the certificate of Redis at %s is not trusted (%s): renew it, or name a file "
                  "with its authority as redis.ca_file, or in the environment as SSL_CERT_FILE",
                  where, X509_verify_cert_error_string(verdict));
    }
}

bool redis_tls_start(struct redis_tls *tls, redisContext *context, const char *host,
                     const char *where, bool *is_refused, struct error *error) {
    char name[256]; /* certificates have no dot at the end of a name */
    const size_t length = strlen(host);
    bool is_address = false;
    snprintf(name, sizeof name, "%.*s",
             (int)(length > 1 && host[length - 1] == '.' ? length - 1 : length), host);
    SSL *ssl = make_session(tls);
    if (ssl == NULL || !expect(ssl, name, &is_address)) {
        SSL_free(ssl);
        return error_set(error, "TLS with Redis at %s cannot be set up", where);
    }
    if (redisInitiateSSL(context, ssl) == REDIS_OK) return true; /* context owns ssl now */
    const long verdict = SSL_get_verify_result(ssl);
    *is_refused = verdict != X509_V_OK;
    if (*is_refused) {
        blame_certificate(name, is_address, verdict, where, error);
    } else {
        error_set(error, "TLS with Redis at %s failed (%s): is this the port for TLS?", where,
                  SSL_want_read(ssl) ? "no answer in time" : context->errstr);
    }
    SSL_free(ssl);
    return false;
}

#else

struct redis_tls *redis_tls_create(const char *ca, const char *certificate, const char *key,
                                   struct error *error) {
    (void)ca, (void)certificate, (void)key;
    error_set(error, "redis.url wants TLS (rediss://), but this build's hiredis has none: build "
                     "with hiredis 1.0 or later (Debian 13), or put stunnel before Redis and use "
                     "redis://");
    return NULL;
}

void redis_tls_destroy(struct redis_tls **tls) {
    (void)tls;
}

uint64_t redis_tls_digest(const struct redis_tls *tls) {
    (void)tls;
    return 0;
}

bool redis_tls_start(struct redis_tls *tls, redisContext *context, const char *host,
                     const char *where, bool *is_refused, struct error *error) {
    (void)tls, (void)context, (void)host, (void)is_refused;
    return error_set(error, "no TLS for %s", where);
}

#endif
