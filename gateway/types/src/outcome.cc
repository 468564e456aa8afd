#include "gateway/types/outcome.h"

#include <array>

namespace carrel::gateway {
namespace {

constexpr std::array<std::string_view, 13> kKinds = {
    "COMPLETED",    "RAISED",     "EXITED",        "SIGNALLED",      "TIME_LIMIT", "CPU_LIMIT", "MEMORY_LIMIT",
    "OUTPUT_LIMIT", "FILE_LIMIT", "PROCESS_LIMIT", "DENIED_SYSCALL", "CANCELLED",  "INTERNAL"};
constexpr std::array<std::string_view, 9> kLimits = {"LIMIT_WALL",      "LIMIT_CPU",       "LIMIT_MEMORY",
                                                     "LIMIT_PROCESSES", "LIMIT_WORKSPACE", "LIMIT_OUTPUT",
                                                     "LIMIT_DISPLAY",   "LIMIT_ARTIFACTS", "LIMIT_SESSION_CPU"};

}  // namespace

std::string_view NameOf(LimitKind limit) { return kLimits.at(static_cast<size_t>(limit)); }
std::string_view NameOf(Outcome::Kind kind) { return kKinds.at(static_cast<size_t>(kind)); }

}  // namespace carrel::gateway
