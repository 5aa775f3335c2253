#include "reply_head.h"

#include <time.h>

#include <cassert>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "representation.h"

namespace reflex::net {
namespace {

std::string_view status_line(int status) {
  switch (status) {
    case 200:
      return "HTTP/1.1 200 OK\r\n";
    case 304:
      return "HTTP/1.1 304 Not Modified\r\n";
    case 400:
      return "HTTP/1.1 400 Bad Request\r\n";
    case 401:
      return "HTTP/1.1 401 Unauthorized\r\n";
    case 404:
      return "HTTP/1.1 404 Not Found\r\n";
    case 405:
      return "HTTP/1.1 405 Method Not Allowed\r\n";
    case 406:
      return "HTTP/1.1 406 Not Acceptable\r\n";
    case 408:
      return "HTTP/1.1 408 Request Timeout\r\n";
    case 411:
      return "HTTP/1.1 411 Length Required\r\n";
    case 413:
      return "HTTP/1.1 413 Content Too Large\r\n";
    case 414:
      return "HTTP/1.1 414 URI Too Long\r\n";
    case 417:
      return "HTTP/1.1 417 Expectation Failed\r\n";
    case 422:
      return "HTTP/1.1 422 Unprocessable Content\r\n";
    case 431:
      return "HTTP/1.1 431 Request Header Fields Too Large\r\n";
    case 501:
      return "HTTP/1.1 501 Not Implemented\r\n";
    case 503:
      return "HTTP/1.1 503 Service Unavailable\r\n";
    case 505:
      return "HTTP/1.1 505 HTTP Version Not Supported\r\n";
    default:
      return "HTTP/1.1 500 Internal Server Error\r\n";
  }
}

class Writer {
 public:
  explicit Writer(char* out) : begin_(out), at_(out) {}

  Writer& text(std::string_view text) {
    assert(length() + text.size() <= ReplyHead::kMaxBytes);
    memcpy(at_, text.data(), text.size());
    at_ += text.size();
    return *this;
  }
  Writer& number(uint64_t value) {
    assert(length() + 20 <= ReplyHead::kMaxBytes);
    at_ = std::to_chars(at_, at_ + 20, value).ptr;
    return *this;
  }
  size_t length() const { return static_cast<size_t>(at_ - begin_); }

 private:
  char* begin_;
  char* at_;
};

}  // namespace

std::string_view ReplyHead::date() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec != date_second_) {
    date_second_ = now.tv_sec;
    tm utc{};
    gmtime_r(&now.tv_sec, &utc);
    // No locale is ever set, so the names are English.
    date_length_ = strftime(date_, sizeof date_, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
    assert(date_length_ > 0);
  }
  return {date_, date_length_};
}

size_t ReplyHead::write(const Reply& reply, size_t body_bytes, char* out) {
  Writer head(out);
  head.text(status_line(reply.status)).text(date());
  if (reply.status != 304) {
    head.text("Content-Type: ");
    if (reply.type == ContentType::kText) {
      head.text("text/plain; version=0.0.4; charset=utf-8");
    } else {
      head.text(media_type(reply.format));
      if (reply.format == Format::kCsv) head.text("; charset=utf-8; header=present");
    }
    head.text("\r\n");
    if (reply.chunked) {
      head.text("Transfer-Encoding: chunked\r\n");
    } else if (!reply.unbounded) {
      head.text("Content-Length: ").number(body_bytes).text("\r\n");
    }
    if (reply.gzip) head.text("Content-Encoding: gzip\r\n");
  }
  if (reply.varies) head.text("Vary: Accept, Accept-Encoding, Authorization\r\n");
  if (reply.format == Format::kEvents) {
    head.text("Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n");
  } else {
    head.text("Cache-Control: private, no-cache\r\n");
  }
  if (reply.has_snapshot) {
    head.text("X-ReflexDB-Version: ").number(reply.version);
    head.text("\r\nX-ReflexDB-Snapshot-Age-Ms: ").number(static_cast<uint64_t>(reply.age_ms)).text("\r\n");
  }
  if (!reply.position.empty()) head.text("X-ReflexDB-Position: ").text(reply.position).text("\r\n");
  if (!reply.stale_tables.empty())
    head.text("X-ReflexDB-Stale-Tables: ").text(reply.stale_tables).text("\r\n");
  if (reply.has_etag) head.text("ETag: \"").text(boot_id_).text("-").number(reply.version);
  if (reply.has_etag) head.text(tag_suffix(reply.format, reply.gzip)).text("\"\r\n");
  if (!reply.next.empty()) {
    head.text("Link: <?").text(reply.next).text(reply.others).text(">; rel=\"next\"\r\n");
  }
  if (reply.status == 401) head.text("WWW-Authenticate: Bearer\r\n");
  if (!reply.allow.empty()) head.text("Allow: ").text(reply.allow).text("\r\n");
  if (reply.close) head.text("Connection: close\r\n");
  head.text("\r\n");
  return head.length();
}

}  // namespace reflex::net
