#include "crypto/aead.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

/* EVP counts in int. */
#define STEP_MAX ((size_t)1 << 30)

/* Looked up once: a lookup costs more than sealing a short buffer. */
static pthread_once_t algorithms_once = PTHREAD_ONCE_INIT;
static EVP_CIPHER *gcm;
static EVP_KDF *hkdf;

static void algorithms_fetch(void)
{
	gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
}

static int algorithms_ready(void)
{
	return !pthread_once(&algorithms_once, algorithms_fetch) && gcm && hkdf;
}

int aead_key_random(struct aead_key *key)
{
	/* The generator of its own that OpenSSL keeps for secrets. */
	if (RAND_priv_bytes(key->bytes, AEAD_KEY_LEN) == 1)
		return 0;
	aead_key_wipe(key);
	return -EIO;
}

int aead_random(void *buf, size_t len)
{
	unsigned char *p = buf;

	while (len) {
		size_t step = len < STEP_MAX ? len : STEP_MAX;

		if (RAND_bytes(p, (int)step) != 1)
			return -EIO;
		p += step;
		len -= step;
	}
	return 0;
}

int aead_key_derive(struct aead_key *out, const struct aead_key *master,
		    const char *purpose, const uint8_t *salt, size_t salt_len)
{
	char sha256[] = "SHA256";
	OSSL_PARAM params[5], *p = params;
	struct aead_key key;
	EVP_KDF_CTX *ctx;
	int err = -EIO;

	if (!algorithms_ready())
		return -EIO;
	ctx = EVP_KDF_CTX_new(hkdf);
	if (!ctx)
		return -ENOMEM;

	/* The parameters are not const, but what they point to is only read. */
	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, sha256,
						0);
	*p++ = OSSL_PARAM_construct_octet_string(
		OSSL_KDF_PARAM_KEY, (void *)master->bytes, AEAD_KEY_LEN);
	*p++ = OSSL_PARAM_construct_octet_string(
		OSSL_KDF_PARAM_INFO, (void *)purpose, strlen(purpose));
	if (salt_len)
		*p++ = OSSL_PARAM_construct_octet_string(
			OSSL_KDF_PARAM_SALT, (void *)salt, salt_len);
	*p = OSSL_PARAM_construct_end();

	if (EVP_KDF_derive(ctx, key.bytes, AEAD_KEY_LEN, params) == 1) {
		*out = key;
		err = 0;
	}
	aead_key_wipe(&key);
	EVP_KDF_CTX_free(ctx);
	return err;
}

void aead_key_wipe(struct aead_key *key)
{
	bytes_wipe(key->bytes, AEAD_KEY_LEN);
}

/* Non-zero if all went through the cipher; `out` NULL: additional data. */
static int feed(EVP_CIPHER_CTX *ctx, uint8_t *out, const void *in, size_t len)
{
	const uint8_t *p = in;

	while (len) {
		size_t step = len < STEP_MAX ? len : STEP_MAX;
		int n;

		if (!EVP_CipherUpdate(ctx, out, &n, p, (int)step))
			return 0;
		p += step;
		if (out)
			out += step;
		len -= step;
	}
	return 1;
}

int aead_seal(const struct aead_key *key, const void *aad, size_t aad_len,
	      const void *plain, size_t len, uint8_t *out)
{
	uint8_t *text = out + AEAD_NONCE_LEN, *tag = text + len, rest[16];
	EVP_CIPHER_CTX *ctx;
	int n, err;

	if (!algorithms_ready())
		return -EIO;
	ctx = EVP_CIPHER_CTX_new();
	if (!ctx)
		return -ENOMEM;
	err = aead_random(out, AEAD_NONCE_LEN);
	if (err)
		goto free_ctx;

	err = -EIO;
	if (EVP_EncryptInit_ex2(ctx, gcm, key->bytes, out, NULL) &&
	    feed(ctx, NULL, aad, aad_len) && feed(ctx, text, plain, len) &&
	    EVP_EncryptFinal_ex(ctx, rest, &n) &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_LEN, tag))
		err = 0;

free_ctx:
	EVP_CIPHER_CTX_free(ctx); /* wipes the key schedule */
	return err;
}

int aead_open(const struct aead_key *key, const void *aad, size_t aad_len,
	      const uint8_t *sealed, size_t len, void *plain)
{
	uint8_t tag[AEAD_TAG_LEN], rest[16];
	const uint8_t *text = sealed + AEAD_NONCE_LEN;
	EVP_CIPHER_CTX *ctx;
	int n, err;

	if (len < AEAD_OVERHEAD)
		return -EBADMSG;
	len -= AEAD_OVERHEAD;
	if (!algorithms_ready())
		return -EIO;
	ctx = EVP_CIPHER_CTX_new();
	if (!ctx)
		return -ENOMEM;

	memcpy(tag, text + len, AEAD_TAG_LEN);
	err = -EIO;
	if (!EVP_DecryptInit_ex2(ctx, gcm, key->bytes, sealed, NULL) ||
	    !EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_LEN,
				 tag) ||
	    !feed(ctx, NULL, aad, aad_len) || !feed(ctx, plain, text, len))
		goto wipe_plain;
	if (EVP_DecryptFinal_ex(ctx, rest, &n) <= 0) {
		err = -EBADMSG;
		goto wipe_plain;
	}
	EVP_CIPHER_CTX_free(ctx);
	return 0;

wipe_plain:
	bytes_wipe(plain, len);
	EVP_CIPHER_CTX_free(ctx);
	return err;
}
