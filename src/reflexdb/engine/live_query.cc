#include "live_query.h"

#include <span>
#include <string_view>

#include "options.h"
#include "sha256.h"

namespace reflex::net {

namespace {

constexpr size_t kIdBytes = 16;  // of the digest

}  // namespace

std::string event_id(std::string_view answer) {
  const Digest digest = sha256({reinterpret_cast<const uint8_t*>(answer.data()), answer.size()});
  return hex(std::span(digest).first(kIdBytes));
}

void append_event(std::string_view event, std::string_view id, std::string_view data, std::string* out) {
  if (!event.empty()) out->append("event: ").append(event).append("\n");
  if (!id.empty()) out->append("id: ").append(id).append("\n");
  while (true) {  // JSON values keep their source's line ends, which would end the field
    const size_t end = data.find_first_of("\r\n");
    out->append("data: ").append(data.substr(0, end)).append("\n");
    if (end == std::string_view::npos) break;
    data.remove_prefix(data.substr(end).starts_with("\r\n") ? end + 2 : end + 1);
  }
  out->append("\n");
}

}  // namespace reflex::net
