// The value of X-ReflexDB-Stale-Tables: which tables of an answer have rows that can't be brought up to date.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace reflex::net {

// Names in the query API, joined by ", "; bytes other than letters, digits, "-", "." and "_" as %XX. What
// does not fit is told as "*". Empty where the answer has none of the frozen tables.
std::string stale_tables(const std::vector<std::string_view>& frozen,
                         const std::set<std::string_view>& answered);

}  // namespace reflex::net
