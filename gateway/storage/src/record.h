// Objects as the database keeps them: JSON, one key a field.
//
// A field that is absent has its default, so that fields can be added; enumerators are numbers, so new ones are
// appended. Readable with any SQLite shell, which is worth more here than the bytes a tighter form would save.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "gateway/types/assistant.h"
#include "gateway/types/container.h"
#include "gateway/types/file.h"
#include "gateway/types/run.h"
#include "gateway/types/thread.h"
#include "gateway/types/upload.h"

namespace carrel::gateway {

template <typename T>
std::string Encode(const T& object);

// DATA_LOSS for a body that is not one of T.
template <typename T>
absl::StatusOr<T> Decode(std::string_view body);

}  // namespace carrel::gateway
