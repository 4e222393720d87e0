#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/bytes.h"

static void grows(void **state)
{
	struct bytes b = BYTES_INIT;

	(void)state;
	assert_int_equal(bytes_append(&b, NULL, 0), 0);
	assert_null(b.data);
	for (unsigned i = 0; i < 10000; i++) {
		uint8_t c = (uint8_t)(i * 7);

		assert_int_equal(bytes_append(&b, &c, 1), 0);
		assert_true(b.len <= b.cap);
	}
	assert_int_equal(b.len, 10000);
	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(b.data[i], (uint8_t)(i * 7));
	bytes_clear(&b);
	assert_null(b.data);
	assert_int_equal(b.len, 0);
	assert_int_equal(b.cap, 0);
	assert_int_equal(bytes_append_str(&b, "again"), 0);
	assert_memory_equal(b.data, "again", 5);
	bytes_clear(&b);
}

static void too_much_leaves_it_alone(void **state)
{
	struct bytes b = BYTES_INIT;

	(void)state;
	assert_int_equal(bytes_append_str(&b, "abc"), 0);
	assert_int_equal(bytes_reserve(&b, SIZE_MAX), -ENOMEM);
	assert_int_equal(bytes_reserve(&b, PTRDIFF_MAX), -ENOMEM);
	assert_int_equal(b.len, 3);
	assert_memory_equal(b.data, "abc", 3);
	assert_int_equal(bytes_reserve(&b, 1000), 0);
	assert_true(b.cap >= 1003);
	assert_int_equal(b.len, 3);
	bytes_clear(&b);
}

static void prints(void **state)
{
	struct bytes b = BYTES_INIT;

	(void)state;
	assert_int_equal(bytes_printf(&b, "%s", ""), 0);
	assert_int_equal(b.len, 0);
	assert_int_equal(bytes_printf(&b, "%d-%s", 42, "x"), 0);
	assert_int_equal(bytes_printf(&b, "%0200d", 1), 0);
	assert_int_equal(b.len, 204);
	assert_memory_equal(b.data, "42-x000", 7);
	assert_int_equal(b.data[203], '1');
	bytes_clear(&b);
}

static void wipes_and_compares(void **state)
{
	uint8_t a[33], b[33];

	(void)state;
	memset(a, 0xaa, sizeof(a));
	bytes_wipe(a + 1, sizeof(a) - 2);
	assert_int_equal(a[0], 0xaa);
	assert_int_equal(a[32], 0xaa);
	for (size_t i = 1; i < 32; i++)
		assert_int_equal(a[i], 0);
	bytes_wipe(NULL, 0);

	memcpy(b, a, sizeof(a));
	assert_true(bytes_equal(a, b, sizeof(a)));
	assert_true(bytes_equal(a, b, 0));
	for (size_t i = 0; i < 8 * sizeof(a); i++) {
		b[i / 8] ^= (uint8_t)(1U << i % 8);
		assert_false(bytes_equal(a, b, sizeof(a)));
		b[i / 8] ^= (uint8_t)(1U << i % 8);
	}
}

static void hex(void **state)
{
	uint8_t all[256], back[256];
	char text[513];

	(void)state;
	for (unsigned i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	hex_encode(text, all, 256);
	assert_int_equal(strlen(text), 512);
	assert_memory_equal(text, "000102030405060708090a0b", 24);
	assert_string_equal(text + 508, "feff");
	assert_int_equal(hex_decode(back, 256, text), 0);
	assert_memory_equal(back, all, 256);

	assert_int_equal(hex_decode(back, 2, "aBCd"), 0);
	assert_memory_equal(back, "\xab\xcd", 2);
	assert_int_equal(hex_decode(back, 0, ""), 0);
	assert_int_equal(hex_decode(back, 2, "abc"), -EINVAL);
	assert_int_equal(hex_decode(back, 2, "abcde"), -EINVAL);
	assert_int_equal(hex_decode(back, 2, "abcg"), -EINVAL);
	assert_int_equal(hex_decode(back, 2, "ab d"), -EINVAL);
	assert_int_equal(hex_decode(back, 2, ""), -EINVAL);
	assert_int_equal(hex_decode(back, 1, "\xff\xff"), -EINVAL);
	hex_encode(text, NULL, 0);
	assert_string_equal(text, "");
}

static void byte_order(void **state)
{
	uint8_t p[8];

	(void)state;
	le64_put(p, 0x0102030405060708);
	assert_memory_equal(p, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
	assert_true(le64_get(p) == 0x0102030405060708);
	assert_int_equal(le32_get(p), 0x05060708);
	le32_put(p, 0xfedcba98);
	assert_memory_equal(p, "\x98\xba\xdc\xfe\x04", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows),
		cmocka_unit_test(too_much_leaves_it_alone),
		cmocka_unit_test(prints),
		cmocka_unit_test(wipes_and_compares),
		cmocka_unit_test(hex),
		cmocka_unit_test(byte_order),
	};

	return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
