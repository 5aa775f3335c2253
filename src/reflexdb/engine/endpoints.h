// From an HTTP request to its answer: which paths exist, with which methods, behind a key or not. Knows no
// sockets.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "accept.h"
#include "body.h"
#include "chain.h"
#include "http_parser.h"
#include "instance.h"
#include "live_query.h"
#include "min_position.h"
#include "query_runner.h"
#include "worker_pool.h"

namespace reflex::net {

enum class ContentType : uint8_t { kOwn, kText };

// What goes into an answer's head, beside its length; and what of its body is still to be made.
struct Reply {
  int status = 200;
  ContentType type = ContentType::kOwn;  // the format's
  Format format = Format::kJson;
  bool gzip = false;
  bool varies = false;     // by what the client takes
  bool chunked = false;    // the body's length is not known
  bool unbounded = false;  // nor told: the connection's end is the body's
  bool close = false;
  bool has_snapshot = false;  // version and age are sent
  uint64_t version = 0;
  int64_t age_ms = 0;
  std::string_view allow;  // of 405
  std::string_view next;   // cursor of the next page; borrowed until the next answer
  std::string
      stale_tables;       // those of the answer that can't be brought up to date, as a header may have them
  std::string others;     // parameters that the link to it repeats, each behind a `&`
  bool has_etag = false;  // boot id, version, format and compression are the tag
  bool waits = false;     // there is no answer yet: the request is to be kept and asked again
  std::string_view position;  // of the snapshot; borrowed until the next publication is taken up
  std::unique_ptr<Body> body;
  std::unique_ptr<LiveQuery> live;
  Chain rest;  // of a long body, behind what was appended
};

// Belongs to one event loop.
class Endpoints {
 public:
  Endpoints(Instance& instance, LoopStats& stats, Mailbox* mailbox);

  // Takes up what was published since the last call; old state is let go.
  void refresh();
  uint64_t epoch() const { return view_.epoch; }

  // Appends the body to `*out`. Throws only std::bad_alloc. A request that asks for a position that is still
  // to come is answered with `waits`, and what for is in `*wait`, unless that was set already and is over by
  // `now_ms`; the caller keeps it and asks again. A null `wait` is for a request that may not wait. So is one
  // whose query takes longer: `*longer` is then on its way to the mailbox, and the caller asks again once it
  // has arrived.
  Reply answer(const HttpRequest& request, std::string* out, std::unique_ptr<PositionWait>* wait,
               LongQueryPtr* longer, int64_t now_ms);
  // Whether what is being served has it.
  bool has_reached(const Position& wanted) const { return served_.contains(wanted); }

  // Whether a request whose body is still to come would be refused for its head; then answers as answer()
  // does.
  bool refuse_early(const HttpRequest& request, Reply* reply, std::string* out);

  // Answers a live query again where its answer may have changed: appends an event, or nothing; kEnd: no more
  // will come; kLater: live->longer is on its way, and is to be asked for again once it has arrived.
  LiveQuery::Outcome answer_again(LiveQuery* live, std::string* out);
  uint64_t version() const { return view_.snapshot == nullptr ? 0 : info(*view_.snapshot).version; }

  static Reply error(int status, std::string_view code, std::string_view message, std::string* out);

 private:
  bool admitted(const HttpRequest& request) const;
  bool admits(std::string_view authorization) const;
  Reply query(const HttpRequest& request, LongQueryPtr* longer, std::string* out);
  bool await_position(const HttpRequest& request, std::string* out, std::unique_ptr<PositionWait>* wait,
                      int64_t now_ms, Reply* reply) const;
  Reply not_reached(std::string* out) const;
  void tell_snapshot(Reply* reply, int64_t now_ms) const;
  Reply query_text(const HttpRequest& request, std::string_view text, LongQueryPtr* longer, std::string* out);
  Reply arrived(const HttpRequest& request, LongQuery* longer, std::string* out);
  void conclude(const HttpRequest& request, const Asked& asked, Answered answer, std::string_view next,
                size_t at, Reply* reply, std::string* out);
  LongQueryPtr hand_over(const Asked& asked);
  void count(LongQuery* longer);
  void begin_live(const HttpRequest& request, const Asked& asked, const std::string& id, size_t at,
                  Reply* reply, std::string* out);
  LiveQuery::Outcome told(LiveQuery* live, std::string* out);
  LiveQuery::Outcome tell(LiveQuery* live, int status, std::string_view answer, std::string id,
                          std::string* out);

  Instance& instance_;
  LoopStats& stats_;
  View view_;
  ServedPosition served_;
  QueryRunner runner_;
  Mailbox* mailbox_;
  std::string decoded_;
  std::string answer_;  // of a live query
  std::string openapi_;
};

}  // namespace reflex::net
