#include "s3/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "s3/error.h"

#define BUFFER     262144L /* bytes libcurl moves at once */
#define EXPECT_MIN ((uint64_t)1 << 20) /* bodies that ask before they come */
#define POLL_NS    200000000L /* between looks at `cancel` */

struct http {
	char *name, *ca_file;
	unsigned connect_timeout_s, timeout_s;
	int no_proxy;
	pthread_mutex_t mutex; /* all below */
	pthread_cond_t freed;
	unsigned idle_len, made, max;
	/* Idle ones; the last one used comes first, as it is warm. */
	CURL *idle[];
};

/* One exchange. */
struct exchange {
	const struct http *http;
	const struct http_request *req;
	const struct store_call *call;
	struct http_answer answer;
	uint64_t sent; /* where in the body the next byte comes from */
	time_t moved; /* when a byte last did, monotonic seconds */
	curl_off_t down, up; /* how many had then */
	int rc; /* why a callback of ours ended it */
	int stalled, too_long;
	char text[CURL_ERROR_SIZE];
};

static pthread_once_t init_once = PTHREAD_ONCE_INIT;
static CURLcode init_result;

static void init_curl(void)
{
	init_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int http_new(struct http **out, const struct http_conf *conf)
{
	unsigned max = conf->connections != 0 ? conf->connections : 1;
	pthread_condattr_t attr;
	struct http *h;

	(void)pthread_once(&init_once, init_curl); /* the result says it */
	if (init_result != CURLE_OK)
		return -ENOMEM;
	h = calloc(1, sizeof(*h) + max * sizeof(h->idle[0]));
	if (h == NULL)
		return -ENOMEM;
	h->name = strdup(conf->name);
	if (h->name == NULL)
		goto free_http;
	if (conf->ca_file != NULL) {
		h->ca_file = strdup(conf->ca_file);
		if (h->ca_file == NULL)
			goto free_name;
	}
	h->max = max;
	h->connect_timeout_s = conf->connect_timeout_s;
	h->timeout_s = conf->timeout_s;
	h->no_proxy = conf->no_proxy;
	if (pthread_mutex_init(&h->mutex, NULL) != 0)
		goto free_ca_file;
	if (pthread_condattr_init(&attr) != 0)
		goto destroy_mutex;
	/* Cannot fail: the attribute and the clock are valid. */
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (pthread_cond_init(&h->freed, &attr) != 0)
		goto destroy_attr;
	pthread_condattr_destroy(&attr);
	*out = h;
	return 0;

destroy_attr:
	pthread_condattr_destroy(&attr);
destroy_mutex:
	pthread_mutex_destroy(&h->mutex);
free_ca_file:
	free(h->ca_file);
free_name:
	free(h->name);
free_http:
	free(h);
	return -ENOMEM;
}

void http_free(struct http *h)
{
	unsigned i;

	if (h == NULL)
		return;
	for (i = 0; i < h->idle_len; i++)
		curl_easy_cleanup(h->idle[i]);
	pthread_cond_destroy(&h->freed);
	pthread_mutex_destroy(&h->mutex);
	free(h->ca_file);
	free(h->name);
	free(h);
}

/* A handle, at once or when somebody gives one back.  0, -EINTR, -ENOMEM. */
static int handle_get(struct http *h, const struct store_call *call, CURL **out)
{
	CURL *curl = NULL;
	int rc = 0;

	pthread_mutex_lock(&h->mutex);
	while (h->idle_len == 0 && h->made == h->max) {
		struct timespec until;

		/* Unlocked, as this is the caller's own code. */
		pthread_mutex_unlock(&h->mutex);
		rc = store_cancelled(call) ? -EINTR : 0;
		if (rc != 0)
			return rc;
		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += POLL_NS;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_mutex_lock(&h->mutex);
		if (h->idle_len == 0 && h->made == h->max)
			(void)pthread_cond_timedwait(&h->freed, &h->mutex,
						     &until);
	}
	if (h->idle_len > 0) {
		curl = h->idle[--h->idle_len];
	} else {
		curl = curl_easy_init();
		h->made += curl != NULL;
		rc = curl != NULL ? 0 : -ENOMEM;
	}
	pthread_mutex_unlock(&h->mutex);
	if (rc == 0)
		*out = curl;
	return rc;
}

static void handle_put(struct http *h, CURL *curl)
{
	curl_easy_reset(curl); /* keeps the connection */
	pthread_mutex_lock(&h->mutex);
	h->idle[h->idle_len++] = curl;
	pthread_cond_signal(&h->freed);
	pthread_mutex_unlock(&h->mutex);
}

static time_t now_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	int rc = http_answer_line(&x->answer, line, size * n);

	x->moved = now_s();
	if (rc == 0)
		return size * n;
	if (rc == -E2BIG)
		x->too_long = 1;
	else
		x->rc = rc;
	return 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	size_t len = size * n;

	if (len > 0 && x->req->sink != NULL)
		x->rc = x->req->sink(x->req->sink_arg, &x->answer, data, len);
	x->answer.bytes_in += len;
	/* What the sink takes for itself is not the server's time. */
	x->moved = now_s();
	return x->rc == 0 ? len : 0;
}

static size_t on_read(char *buf, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	const struct http_request *req = x->req;
	uint64_t left = req->body_len - x->sent;
	size_t len = size * n;

	if (len > left)
		len = (size_t)left;
	if (len == 0)
		return 0;
	x->rc = req->body->read(req->body->arg, buf, len,
				req->body_off + x->sent);
	x->moved = now_s();
	if (x->rc != 0)
		return CURL_READFUNC_ABORT;
	x->sent += len;
	x->answer.bytes_out += len;
	return len;
}

static int on_seek(void *arg, curl_off_t off, int origin)
{
	struct exchange *x = arg;

	if (origin != SEEK_SET || off < 0 || (uint64_t)off > x->req->body_len ||
	    (x->req->once && x->sent > 0))
		return CURL_SEEKFUNC_FAIL;
	x->sent = (uint64_t)off;
	return CURL_SEEKFUNC_OK;
}

/* Called about once a second at least, also while nothing moves. */
static int on_progress(void *arg, curl_off_t down_total, curl_off_t down,
		       curl_off_t up_total, curl_off_t up)
{
	struct exchange *x = arg;
	time_t now = now_s();

	(void)down_total;
	(void)up_total;
	if (store_cancelled(x->call)) {
		x->rc = -EINTR;
		return 1;
	}
	if (down != x->down || up != x->up) {
		x->down = down;
		x->up = up;
		x->moved = now;
	}
	if (x->http->timeout_s != 0 &&
	    now - x->moved > (time_t)x->http->timeout_s) {
		x->stalled = 1;
		return 1;
	}
	return 0;
}

/* "name: value" of all headers, for libcurl.  NULL if out of memory. */
static struct curl_slist *header_list(const struct http_request *req)
{
	struct curl_slist *list = NULL;
	struct curl_slist *grown;
	struct bytes line = BYTES_INIT;
	size_t i;
	int rc;

	for (i = 0; i <= req->headers_len; i++) {
		line.len = 0;
		if (i < req->headers_len)
			/* A header without a value ends in ';' for libcurl. */
			rc = bytes_printf(&line, "%s%s%s", req->headers[i].name,
					  *req->headers[i].value ? ": " : ";",
					  req->headers[i].value);
		else
			rc = bytes_append_str(
				&line,
				req->body != NULL && req->body_len >= EXPECT_MIN
					? "Expect: 100-continue"
					: "Expect:");
		if (rc == 0)
			rc = bytes_append(&line, "", 1);
		grown = rc == 0 ? curl_slist_append(list, (char *)line.data)
				: NULL;
		if (grown == NULL) {
			curl_slist_free_all(list);
			list = NULL;
			break;
		}
		list = grown;
	}
	bytes_clear(&line);
	return list;
}

#define SET(option, value)                                  \
	do {                                                \
		rc = curl_easy_setopt(curl, option, value); \
		if (rc != CURLE_OK)                         \
			return rc;                          \
	} while (0)

/* What every exchange has in common. */
static CURLcode set_common(CURL *curl, struct exchange *x)
{
	CURLcode rc;

	SET(CURLOPT_ERRORBUFFER, x->text);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_USERAGENT, "deltaglider");
	SET(CURLOPT_BUFFERSIZE, BUFFER);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, BUFFER);
	SET(CURLOPT_CONNECTTIMEOUT, (long)x->http->connect_timeout_s);
	if (x->http->ca_file != NULL)
		SET(CURLOPT_CAINFO, x->http->ca_file);
	if (x->http->no_proxy)
		SET(CURLOPT_PROXY, "");
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, x);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, x);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, x);
	return CURLE_OK;
}

static CURLcode set_request(CURL *curl, struct exchange *x,
			    struct curl_slist *headers)
{
	const struct http_request *req = x->req;
	CURLcode rc;

	SET(CURLOPT_URL, req->url);
	SET(CURLOPT_HTTPHEADER, headers);
	if (strcmp(req->method, "HEAD") == 0) {
		SET(CURLOPT_NOBODY, 1L);
	} else if (req->body != NULL) {
		SET(CURLOPT_UPLOAD, 1L);
		SET(CURLOPT_CUSTOMREQUEST, req->method);
		SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)req->body_len);
		SET(CURLOPT_READFUNCTION, on_read);
		SET(CURLOPT_READDATA, x);
		SET(CURLOPT_SEEKFUNCTION, on_seek);
		SET(CURLOPT_SEEKDATA, x);
	} else {
		SET(CURLOPT_HTTPGET, 1L);
		SET(CURLOPT_CUSTOMREQUEST, req->method);
	}
	return CURLE_OK;
}

#undef SET

/* What no second try makes better, or 0. */
static int explain_permanent(const struct exchange *x, CURLcode code,
			     const char *text)
{
	const struct store_call *call = x->call;
	const char *name = x->http->name;

	/* A sink may have said it better. */
	if (x->rc != 0 && call->error != NULL && call->error->text[0] != '\0')
		return x->rc;
	if (x->rc != 0)
		return store_fail(call, x->rc, "%s: %s", name,
				  x->rc == -EINTR ? "interrupted"
						  : store_strerror(x->rc));
	if (x->too_long)
		return store_fail(call, -EIO,
				  "%s: headers of more than %d bytes", name,
				  HTTP_HEADERS_MAX);
	switch (code) {
	case CURLE_OUT_OF_MEMORY:
		return store_fail(call, -ENOMEM, "out of memory");
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
		return store_fail(call, -EIO,
				  "%s: its TLS certificate is not accepted: %s; give ca_file= the authority's certificate",
				  name, text);
	case CURLE_SSL_CONNECT_ERROR:
		/* Others of this kind are connections that broke off. */
		if (strstr(text, "wrong version number") == NULL)
			return 0;
		return store_fail(call, -EIO,
				  "%s: no TLS there: give an http:// endpoint?",
				  name);
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_URL_MALFORMAT:
	case CURLE_WEIRD_SERVER_REPLY:
		return store_fail(call, -EIO, "%s: no HTTP answer: %s", name,
				  text);
	default:
		return 0;
	}
}

/* What libcurl says went wrong, in our words. */
static int explain(const struct exchange *x, CURLcode code, CURL *curl)
{
	const char *text =
		x->text[0] != '\0' ? x->text : curl_easy_strerror(code);
	const struct store_call *call = x->call;
	const char *name = x->http->name;
	int rc = explain_permanent(x, code, text);
	int cause = EIO;
	long os = 0;

	if (rc != 0)
		return rc;
	(void)curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os); /* or 0 */
	if (code == CURLE_COULDNT_RESOLVE_HOST ||
	    code == CURLE_COULDNT_RESOLVE_PROXY)
		cause = EHOSTUNREACH;
	else if (code == CURLE_COULDNT_CONNECT)
		cause = os == ETIMEDOUT ? ETIMEDOUT : EHOSTUNREACH;
	else if (code == CURLE_OPERATION_TIMEDOUT || x->stalled)
		cause = ETIMEDOUT;
	if (code == CURLE_COULDNT_CONNECT && os != 0)
		text = store_strerror((int)os);
	if (x->stalled)
		(void)store_fail(call, -EAGAIN, "%s: no byte moved for %u s",
				 name, x->http->timeout_s);
	else if (cause == EHOSTUNREACH)
		(void)store_fail(call, -EAGAIN,
				 "cannot connect to %s: %s: is the endpoint "
				 "right, and is the server up?",
				 name, text);
	else
		(void)store_fail(call, -EAGAIN, "%s: %s", name, text);
	if (call->error != NULL)
		call->error->cause = cause;
	return -EAGAIN;
}

static int finish(struct exchange *x, CURLcode code, CURL *curl)
{
	int rc;

	if (code != CURLE_OK)
		return explain(x, code, curl);
	if (x->answer.status < 100)
		return store_fail(x->call, -EIO, "%s: no HTTP answer",
				  x->http->name);
	/* libcurl takes an answer without a body as it comes, cut or not. */
	if (!x->answer.complete) {
		rc = store_fail(x->call, -EAGAIN,
				"%s: the answer's headers were cut off",
				x->http->name);
		if (x->call->error != NULL)
			x->call->error->cause = EIO;
		return rc;
	}
	if (x->answer.status / 100 == 2 && x->req->body != NULL &&
	    x->sent != x->req->body_len) {
		rc = store_fail(x->call, -EAGAIN,
				"%s: only %llu of %llu bytes were sent",
				x->http->name, (unsigned long long)x->sent,
				(unsigned long long)x->req->body_len);
		if (x->call->error != NULL)
			x->call->error->cause = EIO;
		return rc;
	}
	return 0;
}

int http_perform(struct http *h, const struct http_request *req,
		 const struct store_call *call, struct http_answer *out)
{
	struct exchange *x;
	struct curl_slist *headers;
	CURLcode code;
	CURL *curl;
	int rc;

	x = calloc(1, sizeof(*x));
	if (x == NULL)
		return store_fail(call, -ENOMEM, "out of memory");
	x->http = h;
	x->req = req;
	x->call = call;
	if (call->error != NULL)
		memset(call->error, 0, sizeof(*call->error));
	headers = header_list(req);
	if (headers == NULL) {
		rc = store_fail(call, -ENOMEM, "out of memory");
		goto free_exchange;
	}
	rc = handle_get(h, call, &curl);
	if (rc != 0) {
		(void)store_fail(call, rc, "%s: %s", h->name,
				 store_strerror(rc));
		goto free_headers;
	}
	x->moved = now_s();
	code = set_common(curl, x);
	if (code == CURLE_OK)
		code = set_request(curl, x, headers);
	if (code == CURLE_OK)
		code = curl_easy_perform(curl);
	rc = finish(x, code, curl);
	handle_put(h, curl);
	if (rc == 0)
		*out = x->answer;
	else
		http_answer_clear(&x->answer);
free_headers:
	curl_slist_free_all(headers);
free_exchange:
	free(x);
	return rc;
}
