// carrel serve: the servers, each the child of its jailer, under one data directory.
#include <filesystem>
#include <utility>

#include "carrel/interpreter/v1/code_interpreter.grpc.pb.h"
#include "carrel/retrieval/v1/retrieval.grpc.pb.h"
#include "cli/commands.h"
#include "cli/data_dir.h"
#include "cli/supervisor.h"
#include "rpc/client.h"
#include "rpc/log.h"
#include "strings.h"

namespace carrel::cli {
namespace {

constexpr Part kParts[] = {Part::kRetrieval, Part::kInterpreter};

std::string ServiceName(Part part) {
  return part == Part::kInterpreter ? interpreter::v1::CodeInterpreter::service_full_name()
                                    : retrieval::v1::Retrieval::service_full_name();
}

// What the jailer may start for this server and nothing else: runtimes for people's code, or the document extractor.
std::string PoliciesOf(const Place& place, Part part, const std::string& jailer) {
  if (part == Part::kInterpreter && !place.config.jail.runtimes_dir.empty()) return place.config.jail.runtimes_dir;
  const std::filesystem::path share = std::filesystem::path(jailer).parent_path().parent_path() / "share" / "carrel";
  return (share / (part == Part::kInterpreter ? "runtimes" : "policies")).string();
}

// carrel-jailer, its server, and after "--" the server's own flags. The configuration goes along as flags, so that the
// server, another user, needs to read none of our files for it.
absl::StatusOr<std::vector<std::string>> CommandLine(const Place& place, Part part, const rpc::Address& listen) {
  const auto jailer = ProgramBeside("carrel-jailer");
  if (!jailer.ok()) return jailer.status();
  const auto server = ProgramBeside(StrCat("carrel-", NameOf(part)));
  if (!server.ok()) return server.status();
  std::vector<std::string> argv = {
      *jailer, "--server", *server, "--tier", place.config.jail.tier, "--data-dir", DataDirOf(place, part)};
  if (const auto uid = ServerUid(place, part); uid.has_value()) {
    argv.insert(argv.end(), {"--server-uid", std::to_string(*uid)});
  }
  argv.insert(argv.end(), {"--runtimes", PoliciesOf(place, part, *jailer)});
  if (place.config.jail.allow_no_cgroup) argv.emplace_back("--allow-no-cgroup");
  argv.insert(argv.end(), {"--zygote-forks-max", std::to_string(place.config.jail.zygote_forks_max)});
  argv.insert(argv.end(), {"--", "--listen", listen.ToString(), "--data", DataDirOf(place, part)});
  for (const config::Setting& setting : config::Changed(place.config)) {
    argv.insert(argv.end(), {"--set", StrCat(setting.key, "=", setting.value)});
  }
  return argv;
}

absl::StatusOr<SupervisedProgram> Program(const Place& place, Part part) {
  const auto address = AddressOf(place, part);
  if (!address.ok()) return address.status();
  const auto listen = ListenAddressOf(place, part);
  if (!listen.ok()) return listen.status();
  auto argv = CommandLine(place, part, *listen);
  if (!argv.ok()) return argv.status();
  const config::RpcConfig& rpc = place.config.rpc;
  rpc::ChannelOptions channel_options{
      .address = *address,
      .tls = {.cert_file = rpc.tls_cert_file, .key_file = rpc.tls_key_file, .ca_file = rpc.tls_ca_file},
      .token_file = rpc.token_file};
  return SupervisedProgram{
      .name = std::string(NameOf(part)),
      .argv = *std::move(argv),
      .health = [channel_options, service = ServiceName(part)]() -> absl::Status {
        // A channel each time: a failed one waits longer and longer before it tries again.
        const auto channel = rpc::MakeChannel(channel_options);
        if (!channel.ok()) return channel.status();
        return rpc::CheckHealth(*channel, service, absl::Seconds(1));
      },
  };
}

std::string_view EventName(SupervisorEvent::Kind kind) {
  switch (kind) {
    case SupervisorEvent::Kind::kStarted:
      return "started";
    case SupervisorEvent::Kind::kReady:
      return "ready";
    case SupervisorEvent::Kind::kDied:
      return "died";
    case SupervisorEvent::Kind::kAllReady:
      return "serving";
    case SupervisorEvent::Kind::kStopping:
      return "stopping";
    case SupervisorEvent::Kind::kStopped:
      return "stopped";
  }
  return "unknown";
}

// {"event":"died","program":"interpreter","pid":7,"detail":"killed by signal 9 (Killed)"}
std::string EventJson(const SupervisorEvent& event, const Place& place) {
  std::string line = StrCat("{\"event\":", rpc::JsonQuote(EventName(event.kind)));
  if (!event.program.empty()) StrAppend(&line, ",\"program\":", rpc::JsonQuote(event.program));
  if (event.pid != 0) StrAppend(&line, ",\"pid\":", event.pid);
  if (!event.detail.empty()) StrAppend(&line, ",\"detail\":", rpc::JsonQuote(event.detail));
  if (event.kind == SupervisorEvent::Kind::kAllReady) {
    StrAppend(&line, ",\"data\":", rpc::JsonQuote(place.data_dir));
    for (const Part part : kParts) {
      const auto address = AddressOf(place, part);
      if (address.ok()) StrAppend(&line, ",\"", NameOf(part), "\":", rpc::JsonQuote(address->ToString()));
    }
  }
  return StrCat(line, "}");
}

void PrintHowToUse(const CommonOptions& common, const Place& place, Console& console) {
  std::string flags;
  if (!common.data_dir.empty()) StrAppend(&flags, " --data ", common.data_dir);
  if (!common.config_file.empty()) StrAppend(&flags, " --config ", common.config_file);
  console.Print("Carrel is ready.");
  for (const Part part : kParts) {
    const auto address = AddressOf(place, part);
    if (address.ok())
      console.Print(StrCat("  gRPC ", NameOf(part), part == Part::kRetrieval ? "    " : "  ", address->ToString()));
  }
  console.Print("In another terminal:");
  console.Print(StrCat("  carrel run", flags, " -c 'print(6 * 7)'"));
  console.Print(StrCat("  carrel store add", flags, " manual FILE.pdf"));
  console.Print(StrCat("  carrel search", flags, " manual \"a question\""));
  console.Print("Ctrl-C ends it.");
}

void Tell(const SupervisorEvent& event, const CommonOptions& common, const Place& place, Console& console) {
  console.PrintJsonText(EventJson(event, place));
  if (console.json()) return;
  switch (event.kind) {
    case SupervisorEvent::Kind::kStarted:
      console.Say(StrCat("starting ", event.program, " (pid ", event.pid, ")"));
      break;
    case SupervisorEvent::Kind::kReady:
      console.Say(StrCat(event.program, " is ready"));
      break;
    case SupervisorEvent::Kind::kDied:
      console.Say(StrCat(event.program, " (pid ", event.pid, ") ", event.detail));
      break;
    case SupervisorEvent::Kind::kAllReady:
      PrintHowToUse(common, place, console);
      break;
    case SupervisorEvent::Kind::kStopping:
      console.Say(StrCat("stopping: ", event.detail));
      break;
    case SupervisorEvent::Kind::kStopped:
      console.Say(event.program.empty() ? "stopped" : StrCat(event.program, " ", event.detail));
      break;
  }
}

absl::Status ServeOrStatus(const CommonOptions& common, const Place& place, rpc::ShutdownSignals& signals,
                           Console& console) {
  // The lock first: the rest belongs to who has it.
  const auto lock = DataDirLock::Take(place.data_dir);
  if (!lock.ok()) return lock.status();
  if (auto status = PrepareDataDir(place); !status.ok()) return status;
  std::vector<SupervisedProgram> programs;
  for (const Part part : kParts) {
    auto program = Program(place, part);
    if (!program.ok()) return program.status();
    programs.push_back(*std::move(program));
  }
  Supervisor supervisor(std::move(programs),
                        {.start_max = absl::Milliseconds(static_cast<int64_t>(place.config.serve.start_ms_max)),
                         .stop_max = absl::Milliseconds(static_cast<int64_t>(place.config.serve.stop_ms_max))},
                        [&](const SupervisorEvent& event) { Tell(event, common, place, console); });
  return supervisor.Run(signals);
}

}  // namespace

ExitCode Serve(const CommonOptions& common, const ServeOptions& options, rpc::ShutdownSignals& signals,
               Console& console) {
  auto place = FindPlace(common);
  if (!place.ok()) {
    console.Fail(place.status());
    return ExitCodeOf(place.status());
  }
  if (options.allow_no_cgroup) place->config.jail.allow_no_cgroup = true;
  if (options.print_config) {
    console.Print(config::Print(place->config));
    return ExitCode::kOk;
  }
  if (options.check_config) return ExitCode::kOk;
  const absl::Status status = ServeOrStatus(common, *place, signals, console);
  if (status.ok()) return ExitCode::kOk;
  console.Fail(status);
  // What cannot be served is no unreachable server: the caller of `serve` has to mend something.
  return absl::IsAlreadyExists(status) || absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status)
             ? ExitCode::kUsage
             : ExitCode::kInternal;
}

}  // namespace carrel::cli
