// carrel doctor and carrel version.
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cli/commands.h"
#include "rpc/log.h"
#include "strings.h"

namespace carrel::cli {

ExitCode Doctor(const CommonOptions& common, Console& console) {
  const auto jailer = ProgramBeside("carrel-jailer");
  if (!jailer.ok()) {
    console.Fail(jailer.status());
    return ExitCode::kInternal;
  }
  const char* const plain[] = {jailer->c_str(), "--doctor", nullptr};
  const char* const json[] = {jailer->c_str(), "--doctor", "--json", nullptr};
  ::execv(jailer->c_str(), const_cast<char* const*>(common.json ? json : plain));
  console.Fail(absl::InternalError(StrCat("executing ", *jailer, ": ", std::strerror(errno))));
  return ExitCode::kInternal;
}

ExitCode Version(const CommonOptions& /*common*/, Console& console) {
  console.Print("carrel " CARREL_VERSION);
  console.PrintJsonText("{\"version\":" + rpc::JsonQuote(CARREL_VERSION) + "}");
  return ExitCode::kOk;
}

}  // namespace carrel::cli
