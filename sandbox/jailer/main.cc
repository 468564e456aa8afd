// carrel-jailer: starts one server and makes its jails. See sandbox/README.md.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "sandbox/doctor.h"
#include "sandbox/jailer.h"

namespace {

using carrel::ExitStatus;
using carrel::sandbox::JailerOptions;

constexpr int kExitUsage = 2;
constexpr int kExitNoJail = 6;

constexpr const char kUsage[] =
    "usage: carrel-jailer --server PATH [options] [--] [arguments of the server]\n"
    "       carrel-jailer --doctor [--json] [--tier TIER] [--allow-no-cgroup] [--workspaces DIR] [--runtimes DIR]\n"
    "\n"
    "Starts the server as an unprivileged child and makes its jails. The two live and die together.\n"
    "\n"
    "  --server PATH        the server's executable\n"
    "  --runtimes DIR       a directory of runtimes or policies, each a subdirectory with a manifest; may be repeated\n"
    "                       (default, from this executable: ../share/carrel/runtimes for carrel-interpreter,\n"
    "                       ../share/carrel/policies for carrel-retrieval; any other server needs one)\n"
    "  --tier TIER          auto, full (needs root) or userns (any user); default auto: full for root. confined, never "
    "chosen\n"
    "                       by itself: no namespaces, one session at a time; it empties /mnt/data, /tmp and /dev/shm\n"
    "  --allow-no-cgroup    where no cgroup can be had: watch the sessions' memory instead of limiting it\n"
    "  --server-uid N       full: uid and gid of the server (default: one that nobody else has)\n"
    "  --data-dir DIR       full: is given to the server's uid with mode 0700 before it starts\n"
    "  --zygote-forks-max N after so many sessions a zygote is replaced (default 10000; 0: never)\n"
    "  --workspaces DIR     full: sessions' workspaces lie on disk, in images below DIR that have no name, and take no "
    "memory\n"
    "  --doctor             prints what of the jail this machine can hold, and how to mend what it cannot\n"
    "  --json               with --doctor: as one JSON object\n"
    "\n"
    "exit status: the server's; 2 usage; 6 no jail can be made (the reason is on stderr); with --doctor 0 when every "
    "layer\n"
    "can be had that was not allowed to be missing, else 1\n";

struct Arguments {
  JailerOptions options;
  bool doctor = false;
  bool json = false;
  bool help = false;
};

// Empty: fine; else what is wrong.
std::string SetTier(const std::string& value, JailerOptions* options) {
  using TierChoice = JailerOptions::TierChoice;
  if (value == "auto") {
    options->tier = TierChoice::kAuto;
  } else if (value == "full") {
    options->tier = TierChoice::kFull;
  } else if (value == "userns") {
    options->tier = TierChoice::kUserns;
  } else if (value == "confined") {
    options->tier = TierChoice::kConfined;
  } else {
    return absl::StrCat("--tier is auto, full, userns or confined, not ", value);
  }
  return "";
}

std::string SetValue(const std::string& name, const std::string& value, JailerOptions* options) {
  if (name == "--server") {
    options->server = value;
  } else if (name == "--runtimes") {
    options->runtimes.emplace_back(value);
  } else if (name == "--tier") {
    return SetTier(value, options);
  } else if (name == "--workspaces") {
    if (!value.starts_with('/')) return "--workspaces takes an absolute path";
    options->workspace_directory = value;
  } else if (name == "--data-dir") {
    options->data_directory = value;
  } else if (name == "--server-uid") {
    uint32_t uid = 0;
    if (!absl::SimpleAtoi(value, &uid) || uid == 0) return "--server-uid takes a number above 0";
    options->server_uid = uid;
  } else if (name == "--zygote-forks-max") {
    if (!absl::SimpleAtoi(value, &options->zygote_forks_max)) return "--zygote-forks-max takes a number, 0 for none";
  } else {
    return absl::StrCat("unknown option ", name);
  }
  return "";
}

std::string Parse(int argc, char** argv, Arguments* arguments) {
  int at = 1;
  for (; at < argc; ++at) {
    const std::string word = argv[at];
    if (word == "--") {
      ++at;
      break;
    }
    if (!word.starts_with("--")) break;
    if (word == "--doctor") {
      arguments->doctor = true;
    } else if (word == "--json") {
      arguments->json = true;
    } else if (word == "--help") {
      arguments->help = true;
    } else if (word == "--allow-no-cgroup") {
      arguments->options.allow_no_cgroup = true;
    } else if (const size_t equals = word.find('='); equals != std::string_view::npos) {
      std::string wrong = SetValue(word.substr(0, equals), word.substr(equals + 1), &arguments->options);
      if (!wrong.empty()) return wrong;
    } else {
      if (at + 1 == argc) return absl::StrCat(word, " takes a value, or is unknown");
      std::string wrong = SetValue(word, argv[++at], &arguments->options);
      if (!wrong.empty()) return wrong;
    }
  }
  arguments->options.server_arguments.assign(argv + at, argv + argc);
  if (!arguments->doctor && !arguments->help && arguments->options.server.empty()) return "--server is missing";
  return "";
}

int Doctor(const Arguments& arguments) {
  using TierChoice = JailerOptions::TierChoice;
  carrel::sandbox::DoctorOptions options{.allow_no_cgroup = arguments.options.allow_no_cgroup,
                                         .workspace_directory = arguments.options.workspace_directory};
  if (arguments.options.tier == TierChoice::kFull) options.tier = "full";
  if (arguments.options.tier == TierChoice::kUserns) options.tier = "userns";
  if (arguments.options.tier == TierChoice::kConfined) options.tier = "confined";
  if (!arguments.options.runtimes.empty()) {
    // What they want of the machine. A bad one is an error of the jailer's, too.
    const auto policies = carrel::sandbox::LoadAllPolicies(arguments.options);
    if (!policies.ok()) {
      std::fprintf(stderr, "carrel-jailer: %s\n", std::string(policies.status().message()).c_str());
      return kExitUsage;
    }
    options.private_proc = carrel::sandbox::NeedsProc(*policies);
  }
  const auto report = carrel::sandbox::Examine(options);
  const std::string text = arguments.json ? carrel::sandbox::DoctorJson(report) : carrel::sandbox::DoctorText(report);
  std::fputs(text.c_str(), stdout);
  return carrel::sandbox::IsAsAllowed(report) ? 0 : 1;
}

// Each server's own: another's would be a zygote that nobody asks for, and jails that it was never meant to make.
struct ServerPolicies {
  std::string_view server;
  std::string_view directory;
};
constexpr ServerPolicies kServerPolicies[] = {{"carrel-interpreter", "runtimes"}, {"carrel-retrieval", "policies"}};

// Empty: fine; else what is wrong.
std::string FindDirectories(JailerOptions* options) {
  std::error_code error;
  const std::filesystem::path bin = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  const std::filesystem::path share = bin.parent_path() / "share" / "carrel";
  options->bin_directory = bin.string();
  options->share_directory = share.string();
  if (!options->runtimes.empty()) return "";
  if (options->server.empty()) return "";  // the doctor asks for none
  const std::string server = std::filesystem::path(options->server).filename();
  for (const ServerPolicies& known : kServerPolicies) {
    if (server == known.server) options->runtimes.push_back((share / known.directory).string());
  }
  return options->runtimes.empty() ? absl::StrCat("--runtimes is missing, and ", server, " has no default") : "";
}

int UsageError(const std::string& wrong) {
  std::fprintf(stderr, "carrel-jailer: %s\n\n%s", wrong.c_str(), kUsage);
  return kExitUsage;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (const std::string wrong = Parse(argc, argv, &arguments); !wrong.empty()) return UsageError(wrong);
  if (arguments.help) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  if (const std::string wrong = FindDirectories(&arguments.options); !wrong.empty()) return UsageError(wrong);
  if (arguments.doctor) return Doctor(arguments);
  const auto end = carrel::sandbox::RunJailer(arguments.options);
  if (!end.ok()) {
    std::fprintf(stderr, "carrel-jailer: %s\n", std::string(end.status().message()).c_str());
    return kExitNoJail;
  }
  if (end->signal == 0) return end->exit_code;
  // As a shell says it.
  return 128 + end->signal;
}
