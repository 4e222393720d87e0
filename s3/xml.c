#include "s3/xml.h"

#include <errno.h>
#include <expat.h>
#include <limits.h>
#include <string.h>

#define DEPTH_MAX 16
#define NAMES_MAX 512
#define TEXT_MAX  16384

struct parse {
	XML_Parser parser;
	xml_element_fn *fn;
	void *arg;
	int rc;
	unsigned depth;
	int has_inner[DEPTH_MAX + 1];
	size_t path_len;
	char path[NAMES_MAX];
	size_t text_len;
	char text[TEXT_MAX];
};

static void stop(struct parse *p, int rc)
{
	if (p->rc == 0)
		p->rc = rc;
	/* Fails only if it stopped already. */
	(void)XML_StopParser(p->parser, XML_FALSE);
}

static void XMLCALL on_start(void *arg, const XML_Char *name,
			     const XML_Char **attributes)
{
	struct parse *p = arg;
	size_t len = strlen(name);

	(void)attributes;
	if (p->rc != 0)
		return;
	if (p->depth == DEPTH_MAX || p->path_len + len + 2 > sizeof(p->path)) {
		stop(p, -EIO);
		return;
	}
	p->has_inner[p->depth++] = 1;
	p->has_inner[p->depth] = 0;
	if (p->path_len > 0)
		p->path[p->path_len++] = '/';
	memcpy(p->path + p->path_len, name, len + 1);
	p->path_len += len;
	p->text_len = 0;
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct parse *p = arg;
	char *slash;
	int rc;

	(void)name;
	if (p->rc != 0)
		return;
	p->text[p->has_inner[p->depth] ? 0 : p->text_len] = '\0';
	rc = p->fn(p->arg, p->path, p->text);
	if (rc != 0) {
		stop(p, rc);
		return;
	}
	slash = strrchr(p->path, '/');
	p->path_len = slash != NULL ? (size_t)(slash - p->path) : 0;
	p->path[p->path_len] = '\0';
	p->text_len = 0;
	p->depth--;
}

static void XMLCALL on_text(void *arg, const XML_Char *s, int len)
{
	struct parse *p = arg;
	size_t n = (size_t)len;

	if (p->rc != 0)
		return;
	if (n >= sizeof(p->text) - p->text_len) {
		stop(p, -EIO);
		return;
	}
	memcpy(p->text + p->text_len, s, n);
	p->text_len += n;
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name,
			       const XML_Char *system_id,
			       const XML_Char *public_id, int has_internal)
{
	(void)name;
	(void)system_id;
	(void)public_id;
	(void)has_internal;
	stop(arg, -EIO);
}

int xml_parse(const void *data, size_t len, xml_element_fn *fn, void *arg)
{
	const char *text = data;
	struct parse p;
	int rc;

	/* Servers send blanks ahead while they are busy. */
	while (len > 0 && (*text == ' ' || *text == '\n' || *text == '\r' ||
			   *text == '\t')) {
		text++;
		len--;
	}
	if (len > INT_MAX)
		return -EIO;
	memset(&p, 0, sizeof(p));
	p.fn = fn;
	p.arg = arg;
	p.parser = XML_ParserCreate(NULL);
	if (p.parser == NULL)
		return -ENOMEM;
	XML_SetUserData(p.parser, &p);
	XML_SetElementHandler(p.parser, on_start, on_end);
	XML_SetCharacterDataHandler(p.parser, on_text);
	XML_SetStartDoctypeDeclHandler(p.parser, on_doctype);
	rc = 0;
	if (XML_Parse(p.parser, text, (int)len, 1) != XML_STATUS_OK)
		rc = XML_GetErrorCode(p.parser) == XML_ERROR_NO_MEMORY ? -ENOMEM
								       : -EIO;
	XML_ParserFree(p.parser);
	return p.rc != 0 ? p.rc : rc;
}

int xml_escape(struct bytes *out, const char *s)
{
	int rc = 0;

	for (; *s && rc == 0; s++) {
		switch (*s) {
		case '&':
			rc = bytes_append_str(out, "&amp;");
			break;
		case '<':
			rc = bytes_append_str(out, "&lt;");
			break;
		case '>':
			rc = bytes_append_str(out, "&gt;");
			break;
		case '"':
			rc = bytes_append_str(out, "&quot;");
			break;
		default:
			rc = bytes_append(out, s, 1);
			break;
		}
	}
	return rc;
}
