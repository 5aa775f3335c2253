// From an HTTP request to its answer: which paths exist, with which methods, behind a key or not. Knows no
// sockets.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "http_parser.h"
#include "instance.h"
#include "query.h"

namespace reflex::net {

enum class ContentType : uint8_t { kJson, kText };

// What goes into an answer's head, beside its length.
struct Reply {
  int status = 200;
  ContentType type = ContentType::kJson;
  bool close = false;
  bool has_snapshot = false;  // version and age are sent
  uint64_t version = 0;
  int64_t age_ms = 0;
  std::string_view allow;  // of 405
  std::string_view next;   // cursor of the next page; borrowed until the next answer
  bool has_etag = false;   // boot id and version are the tag
};

// Belongs to one event loop.
class Endpoints {
 public:
  Endpoints(Instance& instance, LoopStats& stats);

  // Takes up what was published since the last call; old state is let go.
  void refresh();

  // Appends the body to `*out`. Throws only std::bad_alloc.
  Reply answer(const HttpRequest& request, std::string* out);

  // Whether a request whose body is still to come would be refused for its head; then answers as answer()
  // does.
  bool refuse_early(const HttpRequest& request, Reply* reply, std::string* out);

  static Reply error(int status, std::string_view code, std::string_view message, std::string* out);

 private:
  bool admitted(const HttpRequest& request) const;
  Reply query(const HttpRequest& request, std::string* out);
  Reply query_text(const HttpRequest& request, std::string_view text, std::string* out);
  bool matches_tag(std::string_view if_none_match, uint64_t version) const;

  Instance& instance_;
  LoopStats& stats_;
  View view_;
  QueryEngine engine_;
  std::string decoded_;
  std::string openapi_;
};

}  // namespace reflex::net
