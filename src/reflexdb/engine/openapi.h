// The document of /openapi.json: this instance's tables, fields and relations as OpenAPI 3.1.
#pragma once

#include <string>

#include "schema.h"

namespace reflex::net {

std::string openapi_document(const SchemaDef& schema);

}  // namespace reflex::net
