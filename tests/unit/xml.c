/* What servers send as XML, and what only an enemy would. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "s3/date.h"
#include "s3/result.h"
#include "s3/xml.h"

static int join(void *arg, const char *path, const char *text)
{
	char *out = arg;
	size_t len = strlen(out);

	(void)snprintf(out + len, 512 - len, "%s=%s;", path, text);
	return strcmp(text, "stop") == 0 ? 42 : 0;
}

static int parse(const char *xml, char *out)
{
	out[0] = '\0';
	return xml_parse(xml, strlen(xml), join, out);
}

static void walks(void **state)
{
	char out[512];

	(void)state;
	assert_int_equal(parse(" \n<?xml version=\"1.0\"?><a x='1'>\n<b>t&amp;"
			       "<![CDATA[<u>]]></b> <c/></a>\n",
			       out),
			 0);
	assert_string_equal(out, "a/b=t&<u>;a/c=;a=;");
	assert_int_equal(parse("<a><b>stop</b><c>x</c></a>", out), 42);
	assert_string_equal(out, "a/b=stop;");
}

static void refuses(void **state)
{
	static const char *const bad[] = {
		"",
		"plain text",
		"<a>",
		"<a></b>",
		"<a/><b/>",
		"<a>&unknown;</a>",
		"<!DOCTYPE a><a/>",
		"<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
		"<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
		"<a>\x01</a>",
		"<a>\xff</a>",
	};
	struct bytes xml = BYTES_INIT;
	char out[512];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse(bad[i], out), -EIO);
	for (i = 0; i < 100; i++)
		assert_int_equal(bytes_append_str(&xml, "<a>"), 0);
	for (i = 0; i < 100; i++)
		assert_int_equal(bytes_append_str(&xml, "</a>"), 0);
	assert_int_equal(xml_parse(xml.data, xml.len, join, out), -EIO);
	bytes_clear(&xml);
	assert_int_equal(bytes_append_str(&xml, "<a>"), 0);
	for (i = 0; i < 3000; i++)
		assert_int_equal(bytes_append_str(&xml, "0123456789"), 0);
	assert_int_equal(bytes_append_str(&xml, "</a>"), 0);
	assert_int_equal(xml_parse(xml.data, xml.len, join, out), -EIO);
	bytes_clear(&xml);
	assert_int_equal(xml_escape(&xml, "a<b>&\"c"), 0);
	assert_int_equal(bytes_append(&xml, "", 1), 0);
	assert_string_equal((char *)xml.data, "a&lt;b&gt;&amp;&quot;c");
	bytes_clear(&xml);
}

static void results(void **state)
{
	static const char error[] =
		"<Error><Code>Slow\nDown</Code><Message>m</Message>"
		"<Region>r</Region></Error>";
	static const char complete[] =
		"<CompleteMultipartUploadResult xmlns=\"x\"><Bucket>b</Bucket>"
		"<ETag>\"e-3\"</ETag></CompleteMultipartUploadResult>";
	static const char begun[] = "<InitiateMultipartUploadResult>"
				    "<UploadId>id~1</UploadId>"
				    "</InitiateMultipartUploadResult>";
	static const char no_etag[] =
		"<CopyObjectResult><ETag></ETag></CopyObjectResult>";
	char id[RESULT_UPLOAD_ID_MAX];
	char etag[STORE_ETAG_MAX];
	struct result_error e;

	(void)state;
	assert_int_equal(result_error(&e, error, strlen(error)), 0);
	assert_string_equal(e.code, "Slow?Down");
	assert_string_equal(e.region, "r");
	assert_int_equal(result_error(&e, "", 0), -EIO);
	assert_int_equal(result_error(&e, begun, strlen(begun)), -EIO);
	assert_int_equal(result_etag(etag, "CompleteMultipartUploadResult",
				     complete, strlen(complete)),
			 0);
	assert_string_equal(etag, "e-3");
	assert_int_equal(result_etag(etag, "CopyObjectResult", complete,
				     strlen(complete)),
			 -EIO);
	assert_int_equal(result_etag(etag, "CompleteMultipartUploadResult",
				     complete, strlen(complete) - 5),
			 -EIO);
	assert_int_equal(
		result_etag(etag, "CopyObjectResult", no_etag, strlen(no_etag)),
		0);
	assert_string_equal(etag, "");
	assert_int_equal(result_upload_id(id, begun, strlen(begun)), 0);
	assert_string_equal(id, "id~1");
	result_unquote(etag, "\"a\"b\"");
	assert_string_equal(etag, "");
	result_unquote(etag, "bare");
	assert_string_equal(etag, "bare");
}

static void lists(void **state)
{
	static const char xml[] =
		"<ListBucketResult><Contents><Key>b%2Bc+d%25</Key>"
		"<LastModified>2013-05-24T00:00:01.250Z</LastModified>"
		"<ETag>&quot;e&quot;</ETag><Size>18446744073709551615</Size>"
		"<Owner><ID>x</ID></Owner></Contents>"
		"<CommonPrefixes><Prefix>a%2F</Prefix></CommonPrefixes>"
		"<EncodingType>url</EncodingType><IsTruncated>true"
		"</IsTruncated><NextContinuationToken>t/=+%20"
		"</NextContinuationToken></ListBucketResult>";
	static const char *const bad[] = {
		"<html/>",
		"<ListBucketResult><Contents/></ListBucketResult>",
		"<ListBucketResult><Contents><Key>a</Key><Key>b</Key>"
		"</Contents></ListBucketResult>",
		"<ListBucketResult><Contents><Key>a</Key><Size>1x</Size>"
		"</Contents></ListBucketResult>",
		"<ListBucketResult><Contents><Key>a</Key></Contents>",
	};
	static const char raw_token[] =
		"<ListBucketResult><Prefix>a\xff</Prefix><Contents><Key>a%01"
		"</Key></Contents><EncodingType>url</EncodingType>"
		"<IsTruncated>true</IsTruncated><NextContinuationToken>a\x01&#x1f;"
		"</NextContinuationToken></ListBucketResult>";
	static const char raw_key[] = "<ListBucketResult><Contents><Key>a\x01"
				      "</Key></Contents></ListBucketResult>";
	struct result_list l;
	size_t i;

	(void)state;
	assert_int_equal(result_list(&l, xml, strlen(xml)), 0);
	assert_int_equal(l.len, 2);
	assert_string_equal(l.entries[0].key, "a/");
	assert_true(l.entries[0].is_prefix);
	assert_string_equal(l.entries[1].key, "b+c d%");
	assert_int_equal(l.entries[1].mtime.tv_sec, 1369353601);
	assert_int_equal(l.entries[1].mtime.tv_nsec, 250000000);
	assert_true(l.entries[1].len == UINT64_MAX);
	assert_string_equal(l.entries[1].etag, "e");
	assert_true(l.is_truncated);
	assert_string_equal(l.token, "t/=+%20");
	result_list_clear(&l);
	/* What is raw may be none; a key that is, is a key lost. */
	assert_int_equal(result_list(&l, raw_token, strlen(raw_token)), 0);
	assert_int_equal(l.len, 1);
	assert_string_equal(l.entries[0].key, "a\x01");
	assert_true(l.is_truncated && l.token_is_lost);
	result_list_clear(&l);
	assert_int_equal(result_list(&l, raw_key, strlen(raw_key)), -EIO);
	result_list_clear(&l);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(result_list(&l, bad[i], strlen(bad[i])), -EIO);
		result_list_clear(&l);
	}
}

static void dates(void **state)
{
	static const char *const bad[] = {
		"",
		"now",
		"Fri, 24 Mai 2013 00:00:00 GMT",
		"Fri, 24 May 2013 00:00:00",
		"Fri, 24 May 2013 25:00:00 GMT",
		"Fri, 24 May 2013 00:00:00 GMT+1",
		"Friday, 24-May-13 00:00:00 GMT",
	};
	static const char *const bad_iso[] = { "",
					       "2013-05-24",
					       "2013-05-24T00:00:00",
					       "2013-13-24T00:00:00Z",
					       "2013-05-24T00:00:00+24:00",
					       "2013-05-24T00:00:00+1:00",
					       "2013-05-24T00:00:00+01:00Z" };
	struct timespec ts = { 7, 7 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(date_http(&ts, bad[i]), -EINVAL);
	for (i = 0; i < sizeof(bad_iso) / sizeof(bad_iso[0]); i++)
		assert_int_equal(date_iso(&ts, bad_iso[i]), -EINVAL);
	assert_int_equal(ts.tv_sec, 7);
	assert_int_equal(date_http(&ts, "Fri, 24 May 2013 00:00:00 GMT"), 0);
	assert_int_equal(ts.tv_sec, 1369353600);
	assert_int_equal(date_iso(&ts, "2013-05-24T01:30:00+01:30"), 0);
	assert_int_equal(ts.tv_sec, 1369353600);
	assert_int_equal(date_iso(&ts, "2013-05-23T16:00:00-08:00"), 0);
	assert_int_equal(ts.tv_sec, 1369353600);
	assert_int_equal(date_iso(&ts, "2013-05-24T00:00:00.123456789012Z"), 0);
	assert_int_equal(ts.tv_sec, 1369353600);
	assert_int_equal(ts.tv_nsec, 123456789);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walks),   cmocka_unit_test(refuses),
		cmocka_unit_test(results), cmocka_unit_test(lists),
		cmocka_unit_test(dates),
	};

	return cmocka_run_group_tests_name("xml", tests, NULL, NULL);
}
