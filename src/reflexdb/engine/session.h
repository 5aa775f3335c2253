// One connection of the private socket: takes frames, answers replies (doc/feed.md). Knows no sockets;
// belongs to its thread.
//
// The caller reads frames and hands them over one at a time; the session says what to send back and whether
// to go on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "frame.h"
#include "instance.h"
#include "query.h"
#include "snapshot.h"

namespace reflex::net {

struct Answer {
  bool ok = true;
  std::string body = "{}";
  int attached = -1;   // a descriptor to go with it
  bool close = false;  // the connection ends after it
};

class Session {
 public:
  // `on_sync` is called once, when the peer has introduced itself as sync.
  Session(Instance& instance, std::function<void()> on_sync)
      : instance_(instance), on_sync_(std::move(on_sync)) {}

  // The reply, or nothing where the frame has none. Throws only std::bad_alloc.
  std::optional<Answer> take(const Frame& frame);

  static Answer error(std::string_view code, std::string_view message, bool close = false);

 private:
  enum class Role : uint8_t { kUnknown, kSync, kDeployer };

  std::optional<Answer> dispatch(Kind kind, std::span<const uint8_t> body);
  std::optional<Answer> dispatch_feed(Kind kind, std::span<const uint8_t> body);
  Answer hello(Fields fields);
  Answer begin(Fields fields);
  Answer commit();
  Answer confirm(Fields fields);
  void table(Fields fields, bool keep);
  void rows(std::span<const uint8_t> body);
  Answer sync_status(std::string_view body);
  Answer keys(std::string_view body);
  Answer serve();
  Answer drain(Fields fields);
  Answer listener();
  Answer query(std::string_view text);
  Answer status() const;
  Answer configure(std::string_view body);
  void remember(const Status& status);
  static Answer malformed(std::string_view name);

  Instance& instance_;
  std::function<void()> on_sync_;
  Role role_ = Role::kUnknown;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<QueryEngine> queries_;
  Status failed_;        // the first error of the snapshot under way
  bool broken_ = false;  // a frame without a reply was malformed
};

}  // namespace reflex::net
