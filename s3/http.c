#include "s3/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/clock.h"
#include "s3/deadline.h"
#include "s3/error.h"
#include "s3/http_explain.h"
#include "s3/pool.h"
#include "s3/rate.h"

#define BUFFER     262144L /* bytes libcurl moves at once */
#define EXPECT_MIN ((uint64_t)1 << 20) /* bodies that ask before they come */
#define LOOK_MS    100 /* between looks at `cancel` and the time */

/* A connection, kept between exchanges by the handle that drives it. */
struct line {
	CURLM *driver;
	CURL *curl;
};

struct http {
	char *name, *ca_file, *client_cert, *client_key;
	unsigned connect_ms, stall_ms;
	struct rate *up, *down;
	struct pool *lines;
	int no_proxy;
};

/* One exchange. */
struct exchange {
	struct http *http;
	const struct http_request *req;
	const struct store_call *call;
	struct http_answer answer;
	uint64_t sent; /* where in the body the next byte comes from */
	uint64_t looked_ms; /* at `cancel` */
	uint64_t moved_ms; /* when a byte last did */
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

static void line_close(void *arg)
{
	struct line *line = arg;

	/* The driver last: it has the connection. */
	curl_easy_cleanup(line->curl);
	curl_multi_cleanup(line->driver);
	free(line);
}

static void *line_open(void)
{
	struct line *line = calloc(1, sizeof(*line));

	if (line == NULL)
		return NULL;
	line->driver = curl_multi_init();
	line->curl = curl_easy_init();
	if (line->driver == NULL || line->curl == NULL ||
	    curl_multi_setopt(line->driver, CURLMOPT_MAXCONNECTS, 1L) !=
		    CURLM_OK) {
		line_close(line);
		return NULL;
	}
	return line;
}

void http_free(struct http *h)
{
	if (h == NULL)
		return;
	pool_free(h->lines);
	rate_free(h->up);
	rate_free(h->down);
	free(h->name);
	free(h->ca_file);
	free(h->client_cert);
	free(h->client_key);
	free(h);
}

static int set_conf(struct http *h, const struct http_conf *conf)
{
	struct pool_conf lines = { .max = conf->connections != 0
						  ? conf->connections
						  : 1,
				   .open = line_open,
				   .close = line_close };
	int rc = text_dup(&h->name, conf->name);

	if (rc == 0)
		rc = text_dup(&h->ca_file, conf->ca_file);
	if (rc == 0)
		rc = text_dup(&h->client_cert, conf->client_cert);
	if (rc == 0)
		rc = text_dup(&h->client_key, conf->client_key);
	if (rc == 0)
		rc = rate_new(&h->up, conf->upload_rate);
	if (rc == 0)
		rc = rate_new(&h->down, conf->download_rate);
	h->connect_ms = conf->connect_ms;
	h->stall_ms = conf->stall_ms;
	h->no_proxy = conf->no_proxy;
	lines.name = h->name;
	return rc == 0 ? pool_new(&h->lines, &lines) : rc;
}

int http_new(struct http **out, const struct http_conf *conf)
{
	struct http *h;
	int rc;

	(void)pthread_once(&init_once, init_curl); /* the result says it */
	if (init_result != CURLE_OK)
		return -ENOMEM;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return -ENOMEM;
	rc = set_conf(h, conf);
	if (rc != 0)
		http_free(h);
	else
		*out = h;
	return rc;
}

static void moved(struct exchange *x)
{
	x->moved_ms = clock_ms();
	pool_moved(x->http->lines);
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	int rc = http_answer_line(&x->answer, line, size * n);

	/* No progress for others to wait for: headers may drip for ever. */
	x->moved_ms = clock_ms();
	if (rc == 0)
		return size * n;
	if (rc == -E2BIG)
		x->too_long = 1;
	else
		x->rc = rc;
	return 0;
}

/* 0; -EINTR: the rate let nothing through before the call was cancelled. */
static int take_leave(struct exchange *x, struct rate *rate, size_t *len)
{
	uint64_t start = clock_ms();
	size_t leave = rate_take(rate, *len, x->call);

	if (rate != NULL)
		deadline_excuse(x->call->deadline, clock_ms() - start);
	if (leave == 0 && *len > 0)
		return -EINTR;
	*len = leave;
	return 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	size_t len = size * n;
	size_t done;
	size_t part;

	if (len > 0 && x->req->sink != NULL)
		x->rc = x->req->sink(x->req->sink_arg, &x->answer, data, len);
	x->answer.bytes_in += len;
	/* They are here: who may send us more has to wait. */
	for (done = 0; done < len && x->rc == 0; done += part) {
		part = len - done;
		x->rc = take_leave(x, x->http->down, &part);
	}
	/* What the sink takes for itself is not the server's time. */
	moved(x);
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
	x->rc = take_leave(x, x->http->up, &len);
	if (x->rc == 0)
		x->rc = req->body->read(req->body->arg, buf, len,
					req->body_off + x->sent);
	moved(x);
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

/* Is the exchange to end, as it was cancelled or gets nowhere? */
static int look(struct exchange *x, CURL *curl)
{
	uint64_t now = clock_ms();
	uint64_t limit = (uint64_t)x->http->stall_ms * (x->req->slow ? 2 : 1);
	curl_off_t down = 0;
	curl_off_t up = 0;

	if (now - x->looked_ms >= LOOK_MS) {
		x->looked_ms = now;
		if (store_cancelled(x->call)) {
			x->rc = -EINTR;
			return 1;
		}
	}
	/* Cannot fail: both are what this version of libcurl knows. */
	(void)curl_easy_getinfo(curl, CURLINFO_SIZE_DOWNLOAD_T, &down);
	(void)curl_easy_getinfo(curl, CURLINFO_SIZE_UPLOAD_T, &up);
	if (down != x->down || up != x->up) {
		x->down = down;
		x->up = up;
		moved(x);
		deadline_reach(x->call->deadline, (uint64_t)up, (uint64_t)down);
	}
	if ((limit != 0 && now > x->moved_ms && now - x->moved_ms > limit) ||
	    deadline_left_ms(x->call->deadline) == 0) {
		x->stalled = 1;
		return 1;
	}
	return 0;
}

/*
 * As curl_easy_perform(), which looks at `cancel` once a second: too late for
 * who has pressed Control-C.
 */
static CURLcode run(struct exchange *x, const struct line *line)
{
	CURLMcode rc = curl_multi_add_handle(line->driver, line->curl);
	CURLcode code = CURLE_ABORTED_BY_CALLBACK;
	const CURLMsg *msg;
	int running = 1;
	int left;

	while (rc == CURLM_OK) {
		rc = curl_multi_perform(line->driver, &running);
		if (rc != CURLM_OK || !running || look(x, line->curl))
			break;
		rc = curl_multi_poll(line->driver, NULL, 0, LOOK_MS, NULL);
	}
	if (rc != CURLM_OK)
		code = rc == CURLM_OUT_OF_MEMORY ? CURLE_OUT_OF_MEMORY
						 : CURLE_FAILED_INIT;
	while ((msg = curl_multi_info_read(line->driver, &left)) != NULL)
		if (msg->msg == CURLMSG_DONE)
			code = msg->data.result;
	/* In the middle of an exchange this closes the connection. */
	(void)curl_multi_remove_handle(line->driver, line->curl);
	return code;
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
	/* What the endpoint says and nothing else: no way from TLS to none. */
	SET(CURLOPT_PROTOCOLS_STR,
	    strncmp(x->req->url, "https:", 6) == 0 ? "https" : "http");
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	/* Who gives up does not wait for a resolver that does not. */
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_USERAGENT, "deltaglider");
	SET(CURLOPT_BUFFERSIZE, BUFFER);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, BUFFER);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)x->http->connect_ms);
	if (x->http->ca_file != NULL)
		SET(CURLOPT_CAINFO, x->http->ca_file);
	if (x->http->client_cert != NULL)
		SET(CURLOPT_SSLCERT, x->http->client_cert);
	if (x->http->client_key != NULL)
		SET(CURLOPT_SSLKEY, x->http->client_key);
	if (x->http->no_proxy)
		SET(CURLOPT_PROXY, "");
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, x);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, x);
	return CURLE_OK;
}

static CURLcode set_request(CURL *curl, struct exchange *x,
			    struct curl_slist *headers)
{
	const struct http_request *req = x->req;
	CURLcode rc;

	SET(CURLOPT_URL, req->url);
	SET(CURLOPT_HTTPHEADER, headers);
	/* libcurl repeats what a kept connection lost, without a word. */
	if (req->once && req->body_len == 0)
		SET(CURLOPT_FRESH_CONNECT, 1L);
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

/* What libcurl says went wrong, as a kind of ours. */
static enum http_failure failure_of(const struct exchange *x, CURLcode code,
				    const char *text)
{
	if (x->rc != 0)
		return HTTP_OURS;
	if (x->too_long)
		return HTTP_TOO_LONG;
	if (x->stalled)
		return HTTP_STALLED;
	if (strstr(text, "certificate required") != NULL)
		return HTTP_NO_CERTIFICATE;
	switch (code) {
	case CURLE_OUT_OF_MEMORY:
		return HTTP_NO_MEMORY;
	case CURLE_PEER_FAILED_VERIFICATION:
		return HTTP_REFUSED;
	case CURLE_SSL_CACERT_BADFILE:
		return HTTP_BAD_CA;
	case CURLE_SSL_CERTPROBLEM:
		return HTTP_BAD_CERTIFICATE;
	case CURLE_SSL_CONNECT_ERROR:
		/* Others of this kind are connections that broke off. */
		return strstr(text, "wrong version number") != NULL
			       ? HTTP_NO_TLS
			       : HTTP_BROKEN;
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL:
		/*
		 * On a connection that was kept: the rest of an answer that was
		 * longer than it said.
		 */
		return strstr(text, "HTTP/0.9") != NULL ? HTTP_BROKEN
							: HTTP_NO_HTTP;
	case CURLE_URL_MALFORMAT:
		return HTTP_NO_HTTP;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return HTTP_UNRESOLVED;
	case CURLE_COULDNT_CONNECT:
		return HTTP_UNCONNECTED;
	case CURLE_GOT_NOTHING:
		return HTTP_SILENT;
	case CURLE_OPERATION_TIMEDOUT:
		return HTTP_TIMED_OUT;
	default:
		return HTTP_BROKEN;
	}
}

static int explain(const struct exchange *x, CURLcode code, CURL *curl)
{
	struct http_failed f = {
		.name = x->http->name,
		.text = x->text[0] != '\0' ? x->text : curl_easy_strerror(code),
		.rc = x->rc,
		.idle_ms = clock_ms() - x->moved_ms,
	};
	long os = 0;

	(void)curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os); /* or 0 */
	f.os = (int)os;
	f.kind = failure_of(x, code, f.text);
	if (strstr(f.text, "HTTP/0.9") != NULL)
		f.text = "no HTTP answer";
	/* It wanted to send again what may be sent once. */
	if (code == CURLE_SEND_FAIL_REWIND)
		f.text = "the connection broke off";
	return http_explain(&f, x->call);
}

static int finish(struct exchange *x, CURLcode code, CURL *curl)
{
	if (code != CURLE_OK)
		return explain(x, code, curl);
	if (x->answer.status < 100)
		return store_fail(x->call, -EIO, "%s: no HTTP answer",
				  x->http->name);
	/* libcurl takes an answer without a body as it comes, cut or not. */
	if (!x->answer.complete)
		return store_again(x->call, EIO,
				   "%s: the answer's headers were cut off",
				   x->http->name);
	if (x->answer.status / 100 == 2 && x->req->body != NULL &&
	    x->sent != x->req->body_len)
		return store_again(x->call, EIO,
				   "%s: only %llu of %llu bytes were sent",
				   x->http->name, (unsigned long long)x->sent,
				   (unsigned long long)x->req->body_len);
	return 0;
}

int http_perform(struct http *h, const struct http_request *req,
		 const struct store_call *call, struct http_answer *out)
{
	struct exchange *x;
	struct curl_slist *headers;
	struct line *line;
	void *connection;
	CURLcode code;
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
	rc = pool_get(h->lines, call, &connection);
	if (rc != 0)
		goto free_headers;
	line = connection;
	x->moved_ms = clock_ms();
	code = set_common(line->curl, x);
	if (code == CURLE_OK)
		code = set_request(line->curl, x, headers);
	if (code == CURLE_OK)
		code = run(x, line);
	rc = finish(x, code, line->curl);
	if (rc == 0)
		pool_moved(h->lines);
	curl_easy_reset(line->curl);
	pool_put(h->lines, line);
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
