#include "min_position.h"

#include <algorithm>
#include <charconv>

namespace reflex::net {
namespace {

// A source's words go into a head only where they can't end a line there.
bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7F; });
}

}  // namespace

void ServedPosition::refresh(const View& view) {
  if (view.snapshot == nullptr) return;
  const SnapshotInfo& of = info(*view.snapshot);
  told_ = std::to_string(of.version);
  version_ = Position::parse(told_);
  place_ = is_streamed(of) ? Position::parse(of.position) : Position();
  if (place_.form() == Position::Form::kVersion) place_ = Position();
  if (place_.form() != Position::Form::kNone) told_ = of.position;
  const bool fits = told_.size() <= kMaxShownBytes && is_plain(told_);
  shown_ = fits ? std::string_view(told_) : std::string_view();
}

bool ServedPosition::contains(const Position& wanted) const {
  if (version_.comparable(wanted)) return version_.contains(wanted);
  return place_.comparable(wanted) && place_.contains(wanted);
}

bool ServedPosition::read(const HttpRequest& request, const Instance& instance, int64_t now_ms,
                          PositionWait* wait, std::string* error) const {
  uint64_t ms = instance.options.default_wait_ms;
  if (request.has_wait_ms) {
    const char* end = request.wait_ms.data() + request.wait_ms.size();
    const auto [stop, status] = std::from_chars(request.wait_ms.data(), end, ms);
    if (status != std::errc() || stop != end) {
      *error = "X-ReflexDB-Wait-Ms must be a whole number of milliseconds.";
      return false;
    }
  }
  wait->end_ms = now_ms + static_cast<int64_t>(std::min<uint64_t>(ms, instance.options.max_wait_ms));
  if (request.min_position.size() <= kMaxWantedBytes) wait->wanted = Position::parse(request.min_position);
  if (version_.comparable(wait->wanted) || place_.comparable(wait->wanted)) return true;
  *error = "X-ReflexDB-Min-Position must be ";
  if (place_.form() != Position::Form::kNone) *error += std::string(describe(place_.form())) + ", or ";
  *error += describe(Position::Form::kVersion);
  *error += place_.form() != Position::Form::kNone ? ", of at most 4096 characters."
                                                   : ": this source is polled, or has told no position yet.";
  return false;
}

}  // namespace reflex::net
