#include "crypto/digest.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

struct digest {
	EVP_MD_CTX *ctx;
	const EVP_MD *algorithm;
	size_t len; /* bytes of its result */
};

/* Looked up once: a lookup costs more than the digest of a short message. */
static pthread_once_t algorithms_once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256;
static EVP_MD *md5; /* NULL where policy forbids it */
static EVP_MAC *hmac;

static void algorithms_fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	md5 = EVP_MD_fetch(NULL, "MD5", NULL);
	hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
}

static int algorithms_ready(void)
{
	return !pthread_once(&algorithms_once, algorithms_fetch) && sha256 &&
	       hmac;
}

static struct digest *digest_make(const EVP_MD *algorithm, size_t len)
{
	struct digest *d;

	d = malloc(sizeof(*d));
	if (!d)
		return NULL;
	d->algorithm = algorithm;
	d->len = len;
	d->ctx = EVP_MD_CTX_new();
	if (!d->ctx)
		goto free_digest;
	if (!EVP_DigestInit_ex2(d->ctx, algorithm, NULL))
		goto free_ctx;
	return d;

free_ctx:
	EVP_MD_CTX_free(d->ctx);
free_digest:
	free(d);
	return NULL;
}

struct digest *digest_new(void)
{
	return algorithms_ready() ? digest_make(sha256, DIGEST_LEN) : NULL;
}

struct digest *digest_md5_new(void)
{
	return algorithms_ready() && md5 ? digest_make(md5, DIGEST_MD5_LEN)
					 : NULL;
}

int digest_update(struct digest *d, const void *data, size_t len)
{
	return EVP_DigestUpdate(d->ctx, data, len) ? 0 : -EIO;
}

int digest_final(struct digest *d, uint8_t *out)
{
	uint8_t sum[EVP_MAX_MD_SIZE];

	if (!EVP_DigestFinal_ex(d->ctx, sum, NULL) ||
	    !EVP_DigestInit_ex2(d->ctx, d->algorithm, NULL))
		return -EIO;
	for (size_t i = 0; i < d->len; i++)
		out[i] = sum[i];
	return 0;
}

void digest_free(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->ctx); /* wipes its state */
	free(d);
}

int digest_buffer(const void *data, size_t len, uint8_t out[DIGEST_LEN])
{
	struct digest *d;
	int err;

	if (!algorithms_ready())
		return -EIO;
	d = digest_new();
	if (!d)
		return -ENOMEM;
	err = digest_update(d, data, len);
	if (!err)
		err = digest_final(d, out);
	digest_free(d);
	return err;
}

int digest_md5(const void *data, size_t len, uint8_t out[DIGEST_MD5_LEN])
{
	uint8_t sum[EVP_MAX_MD_SIZE];
	size_t n;

	if (!EVP_Q_digest(NULL, "MD5", NULL, data, len, sum, &n) ||
	    n != DIGEST_MD5_LEN)
		return -EIO;
	for (size_t i = 0; i < DIGEST_MD5_LEN; i++)
		out[i] = sum[i];
	return 0;
}

int digest_hmac(const uint8_t *key, size_t key_len, const void *data,
		size_t len, uint8_t out[DIGEST_LEN])
{
	char name[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name,
						 0),
		OSSL_PARAM_construct_end(),
	};
	static const uint8_t
		no_key[1]; /* NULL would mean "the key set before" */
	EVP_MAC_CTX *ctx;
	size_t out_len;
	int err = -EIO;

	if (!algorithms_ready())
		return -EIO;
	ctx = EVP_MAC_CTX_new(hmac);
	if (!ctx)
		return -ENOMEM;
	if (EVP_MAC_init(ctx, key_len ? key : no_key, key_len, params) &&
	    EVP_MAC_update(ctx, data, len) &&
	    EVP_MAC_final(ctx, out, &out_len, DIGEST_LEN))
		err = 0;
	EVP_MAC_CTX_free(ctx);
	return err;
}
