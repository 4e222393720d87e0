/* How objects are kept: encryption, class, who may read them and who pays. */
#include <stdlib.h>
#include <string.h>

#include "s3/client_private.h"
#include "s3/error.h"

/* Their names, for an object and for the source of a copy. */
#define CUSTOMER        "x-amz-server-side-encryption-customer-"
#define SOURCE_CUSTOMER "x-amz-copy-source-server-side-encryption-customer-"

static int set_customer_key(struct s3_object_conf *o, const uint8_t *key)
{
	uint8_t md5[DIGEST_MD5_LEN];
	int rc = digest_md5(key, S3_CUSTOMER_KEY_LEN, md5);

	if (rc != 0)
		return rc;
	base64_encode(o->customer_key, key, S3_CUSTOMER_KEY_LEN);
	base64_encode(o->customer_md5, md5, sizeof(md5));
	return 0;
}

int s3_object_conf_init(struct s3_object_conf *o, const struct s3_conf *conf)
{
	int rc = text_dup(&o->storage_class, conf->storage_class);

	if (rc == 0)
		rc = text_dup(&o->acl, conf->acl);
	if (rc == 0)
		rc = text_dup(&o->sse, conf->sse);
	if (rc == 0)
		rc = text_dup(&o->kms_key_id, conf->sse_kms_key_id);
	if (rc == 0 && conf->sse_customer_key != NULL)
		rc = set_customer_key(o, conf->sse_customer_key);
	return rc;
}

void s3_object_conf_clear(struct s3_object_conf *o)
{
	free(o->storage_class);
	free(o->acl);
	free(o->sse);
	free(o->kms_key_id);
	bytes_wipe(o, sizeof(*o));
}

static void add(struct s3_request *req, const char *name, const char *value)
{
	if (value != NULL && *value != '\0')
		s3_header(req, name, value);
}

void s3_object_headers(struct s3 *s, struct s3_request *req, unsigned roles)
{
	const struct s3_object_conf *o = &s->object;
	int customer = o->customer_key[0] != '\0';

	if (roles & S3_CREATES) {
		add(req, "x-amz-storage-class", o->storage_class);
		add(req, "x-amz-acl", o->acl);
		add(req, "x-amz-server-side-encryption", o->sse);
		add(req, "x-amz-server-side-encryption-aws-kms-key-id",
		    o->kms_key_id);
	}
	if (customer && (roles & (S3_CREATES | S3_TOUCHES))) {
		s3_header(req, CUSTOMER "algorithm", "AES256");
		s3_header(req, CUSTOMER "key", o->customer_key);
		s3_header(req, CUSTOMER "key-md5", o->customer_md5);
	}
	if (customer && (roles & S3_COPIES)) {
		s3_header(req, SOURCE_CUSTOMER "algorithm", "AES256");
		s3_header(req, SOURCE_CUSTOMER "key", o->customer_key);
		s3_header(req, SOURCE_CUSTOMER "key-md5", o->customer_md5);
	}
}
