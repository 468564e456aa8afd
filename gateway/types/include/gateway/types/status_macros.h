// Leaves the function with the status of an expression that did not succeed.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define GATEWAY_CONCAT_INNER(a, b) a##b
#define GATEWAY_CONCAT(a, b) GATEWAY_CONCAT_INNER(a, b)

// Names come from a counter, not from the line: an expression may hold a lambda that uses these macros too.
#define GATEWAY_RETURN_IF_ERROR(expression) \
  GATEWAY_RETURN_IF_ERROR_NAMED(GATEWAY_CONCAT(status_, __COUNTER__), expression)
#define GATEWAY_RETURN_IF_ERROR_NAMED(name, expression)            \
  do {                                                             \
    if (absl::Status name = (expression); !name.ok()) return name; \
  } while (false)

// GATEWAY_ASSIGN_OR_RETURN(Thread thread, GetThread(id));
#define GATEWAY_ASSIGN_OR_RETURN(declaration, expression) \
  GATEWAY_ASSIGN_OR_RETURN_NAMED(GATEWAY_CONCAT(status_or_, __COUNTER__), declaration, expression)
#define GATEWAY_ASSIGN_OR_RETURN_NAMED(name, declaration, expression) \
  auto name = (expression);                                           \
  if (!name.ok()) return std::move(name).status();                    \
  declaration = *std::move(name)
