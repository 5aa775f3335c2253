#include "plan.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "utf8.h"

namespace reflex {

bool fit_to_shape(std::span<const ShapeLiteral> literals, Plan* plan) {
  std::vector<Site> chosen;
  for (const ShapeLiteral& literal : literals) {
    const auto site = std::find_if(plan->sites.begin(), plan->sites.end(), [&](const Site& known) {
      return known.expr != nullptr && known.expr->literals[0].at == literal.at;
    });
    if (site == plan->sites.end()) {
      plan->sites.clear();
      return false;
    }
    chosen.push_back(std::move(*site));
  }
  plan->sites = std::move(chosen);
  return true;
}

bool rebind(std::span<const ShapeLiteral> literals, Plan* plan) {
  assert(literals.size() == plan->sites.size());
  for (size_t i = 0; i < literals.size(); ++i) {
    const Site& site = plan->sites[i];
    // The rest of the text is the same, byte for byte, as in a text that was checked.
    if (literals[i].is_string && utf8_error(literals[i].text) != std::string_view::npos) return false;
    ast::Literal& literal = site.expr->literals[0];
    assert((literal.kind == ast::Literal::Kind::kString) == literals[i].is_string);
    literal.text.assign(literals[i].text);
    if (!rebind_operand(*site.column, *site.expr, &plan->operands[site.operand])) return false;
  }
  return true;
}

}  // namespace reflex
