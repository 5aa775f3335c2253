// HTTP/1.1 requests (RFC 9112) from bytes, strictly: what two parsers might read differently is refused.
//
// A decoder without sockets or clocks. It allocates nothing: a request is offsets into the caller's bytes,
// and a chunked body is joined in place. Promises to clients are in doc/http.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "accept.h"

namespace reflex::net {

struct HttpLimits {
  size_t request_line_bytes = 16 * 1024;
  size_t head_bytes = 32 * 1024;  // fields, without the request line; trailers too
  uint32_t fields = 100;
  size_t chunk_extension_bytes = 1024;  // all chunks of a body together
  uint64_t body_bytes = 1 << 20;
};

enum class Method : uint8_t { kGet, kHead, kPost, kOther };

// Why a request is refused: what becomes of the status line and of the JSON body. All are constants.
struct HttpError {
  int status = 0;
  const char* code = "";
  const char* message = "";
};

// Views into the bytes last given to feed().
struct HttpRequest {
  Method method = Method::kGet;
  bool http_1_0 = false;
  bool keep_alive = true;
  bool has_length = false;  // Content-Length or Transfer-Encoding was given
  bool has_authorization = false;
  std::string_view path;
  std::string_view query;  // after the first '?', still encoded
  std::string_view authorization;
  std::string_view if_none_match;
  bool has_min_position = false;
  std::string_view min_position;  // X-ReflexDB-Min-Position
  bool has_wait_ms = false;
  std::string_view wait_ms;  // X-ReflexDB-Wait-Ms
  FieldLines accept;
  FieldLines accept_encoding;
  std::string_view last_event_id;
  std::string_view body;
};

class HttpParser {
 public:
  enum class Result : uint8_t {
    kNeedMore,
    kContinue,  // the head is complete and its client waits for 100 (Continue); reported once
    kRequest,
    kError,
  };

  explicit HttpParser(const HttpLimits& limits) : limits_(limits) {}

  // `data` holds all bytes since the request's first, `*size` of them; between calls the caller may move and
  // append, not change. Where chunks were joined, later bytes move down and `*size` shrinks.
  Result feed(char* data, size_t* size);

  // Requires: feed() answered kRequest, or kContinue (then without body).
  HttpRequest request(const char* data) const;
  size_t consumed() const { return pos_; }
  const HttpError& error() const { return error_; }
  bool in_body() const { return state_ >= State::kLength; }

  void reset();

 private:
  enum class State : uint8_t {
    kRequestLine,
    kFields,
    kLength,
    kChunkSize,
    kChunkData,
    kChunkEnd,
    kTrailers,
    kDone
  };
  struct Range {
    uint32_t begin = 0;
    uint32_t size = 0;
  };

  Result fail(int status, const char* code, const char* message);
  Result bad(const char* message) { return fail(400, "bad_request", message); }
  // kRequest: `*line` is the next line without CRLF. kNeedMore: no line end yet.
  Result next_line(const char* data, size_t size, size_t limit, std::string_view* line);
  Result too_long();
  Result request_line(const char* data, std::string_view line);
  Result target(const char* data, std::string_view text);
  Result field(const char* data, std::string_view line, bool trailer);
  Result known_field(const char* data, std::string_view name, std::string_view value);
  Result content_length(std::string_view value);
  Result transfer_encoding(std::string_view value);
  struct Ranges {
    std::array<Range, FieldLines::kMost> lines;
    uint8_t count = 0;
  };
  Result add_line(Range range, Ranges* to);
  void connection(std::string_view value);
  Result head_end();
  Result chunk_size(std::string_view line);
  void join(char* data, size_t* size);

  HttpLimits limits_;
  HttpError error_;
  State state_ = State::kRequestLine;
  Method method_ = Method::kGet;
  bool http_1_0_ = false;
  bool close_ = false;
  bool skipped_line_ = false;
  bool has_host_ = false;
  bool has_length_ = false;
  bool has_encoding_ = false;
  bool has_authorization_ = false;
  bool has_expect_ = false;
  bool expects_ = false;
  bool has_min_position_ = false;
  bool has_wait_ms_ = false;
  uint32_t fields_ = 0;
  size_t pos_ = 0;   // parsed so far
  size_t scan_ = 0;  // no line feed in [pos_, scan_)
  size_t head_begin_ = 0;
  size_t extension_bytes_ = 0;
  size_t body_begin_ = 0;
  size_t body_end_ = 0;
  uint64_t left_ = 0;  // of the body, or of the chunk
  Range path_;
  Range query_;
  Range authorization_;
  Range if_none_match_;
  Range min_position_;
  Range wait_ms_;
  Range last_event_id_;
  Ranges accept_;
  Ranges accept_encoding_;
};

}  // namespace reflex::net
