// Early return of an error; the only macros of this module.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define CARREL_CONCAT_INNER(a, b) a##b
#define CARREL_CONCAT(a, b) CARREL_CONCAT_INNER(a, b)
#define RETURN_IF_ERROR(expression)                                         \
  do {                                                                      \
    if (absl::Status status_ = (expression); !status_.ok()) return status_; \
  } while (false)
#define ASSIGN_OR_RETURN(target, expression) ASSIGN_OR_RETURN_INNER(CARREL_CONCAT(or_, __LINE__), target, expression)
#define ASSIGN_OR_RETURN_INNER(value, target, expression) \
  auto value = (expression);                              \
  if (!value.ok()) return std::move(value).status();      \
  target = *std::move(value)
