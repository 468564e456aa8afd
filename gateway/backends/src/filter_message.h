// Attributes and filters on them, as messages of the retrieval service.
#pragma once

#include "carrel/retrieval/v1/retrieval.pb.h"
#include "gateway/ports/search_tool.h"

namespace carrel::gateway {

void WriteValue(const AttributeValue& value, retrieval::v1::AttributeValue& out);
void WriteFilter(const SearchFilter& filter, retrieval::v1::Filter& out);

}  // namespace carrel::gateway
