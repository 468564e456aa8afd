// The flags that every stand-alone server takes; the server adds nothing of its own.
//
//   --config FILE   --listen unix:PATH | HOST:PORT   --data DIR   --set section.key=value   (each also as --flag=value)
//   --check-config  --print-config  --help  --version
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "config/config.h"

namespace carrel::config {

struct ServerFlags {
  Config config;
  std::string data_dir;  // "": not given
  std::string listen;    // --listen, else [<section>] listen; "": neither
  // Set when the program has nothing more to do (--help, --check-config …): exit with it.
  std::optional<int> exit_code;
};

// Reads argv and the environment and loads the configuration; what is asked for is printed on stdout, complaints on
// stderr (then exit_code is 2). `section` is "interpreter", "retrieval" or "gateway": whose `listen` counts.
[[nodiscard]] ServerFlags ParseServerFlags(int argc, const char* const* argv, std::string_view section,
                                           std::string_view version);

}  // namespace carrel::config
