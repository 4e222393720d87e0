#include "crypto/secret.h"

#include <errno.h>

#include <openssl/crypto.h>

/* A key each for 32,000 open files. */
#define HEAP ((size_t)1 << 20)

int secret_init(void)
{
	/* The smallest piece it hands out is a key. */
	switch (CRYPTO_secure_malloc_init(HEAP, 32)) {
	case 1:
		return 0;
	case 2:
		return -EPERM;
	default:
		return -ENOMEM;
	}
}

void *secret_new(size_t len)
{
	return OPENSSL_secure_zalloc(len);
}

void secret_free(void *p, size_t len)
{
	OPENSSL_secure_clear_free(p, len);
}
