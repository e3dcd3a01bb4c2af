/* hiredis does the reading and writing. What it is to trust is decided here, with an SSL object of
 * our own, since hiredis up to 1.4 never compares the certificate's name with the host's. */
#include "redis_tls.h"

#ifdef HAVE_HIREDIS_SSL
#include <errno.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct redis_tls {
    SSL_CTX *settings;
};

/* The last thing that OpenSSL complained about. */
static const char *complaint(void) {
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text == NULL ? strerror(errno) : text;
}

static bool read_files(SSL_CTX *settings, const char *ca, const char *certificate, const char *key,
                       struct error *error) {
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

struct redis_tls *redis_tls_create(const char *ca, const char *certificate, const char *key,
                                   struct error *error) {
    struct redis_tls *tls = memory_create(sizeof *tls);
    tls->settings = SSL_CTX_new(TLS_client_method());
    if (tls->settings == NULL) memory_none();
    SSL_CTX_set_verify(tls->settings, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_set_min_proto_version(tls->settings, TLS1_2_VERSION) != 1 ||
        (ca == NULL && SSL_CTX_set_default_verify_paths(tls->settings) != 1)) {
        error_set(error, "TLS with Redis cannot be set up by this OpenSSL");
    } else if (read_files(tls->settings, ca, certificate, key, error)) {
        return tls;
    }
    redis_tls_destroy(&tls);
    return NULL;
}

void redis_tls_destroy(struct redis_tls **tls) {
    if (*tls == NULL) return;
    SSL_CTX_free((*tls)->settings);
    free(*tls);
    *tls = NULL;
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
    SSL *ssl = SSL_new(tls->settings);
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

bool redis_tls_start(struct redis_tls *tls, redisContext *context, const char *host,
                     const char *where, bool *is_refused, struct error *error) {
    (void)tls, (void)context, (void)host, (void)is_refused;
    return error_set(error, "no TLS for %s", where);
}

#endif
