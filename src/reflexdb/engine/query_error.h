// What a bad query is answered with. Made where the fault is found, turned into JSON once, at the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace reflex {

struct QueryError {
  int status = 0;  // HTTP; 0: no error
  std::string_view code;
  std::string message;
  std::string hint;
  bool has_position = false;
  size_t at = 0;  // byte offset in the query's text

  bool ok() const { return status == 0; }
};

QueryError error_at(std::string_view code, size_t at, std::string message, std::string hint = {});
QueryError limit_error(std::string message);
// The thread that runs the query has no patience for it (ticker.h). Never told to a client.
inline constexpr int kTakesLonger = -1;
QueryError takes_longer();

// {"error":...,"message":...,"line":...,"column":...,"hint":...}; lines and columns count from 1, columns in
// code points.
void append_error(const QueryError& error, std::string_view query, std::string* out);

// A name from a query, between backquotes and cut to what fits a message.
std::string quote(std::string_view name);

// "did you mean `email`?" if one of `known` is close to `name`, else empty.
std::string suggestion(std::string_view name, const std::vector<std::string_view>& known);

}  // namespace reflex
