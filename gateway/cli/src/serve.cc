// carrel serve: the two servers, each the child of its jailer, and the gateway before them, under one data directory.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "carrel/interpreter/v1/code_interpreter.grpc.pb.h"
#include "carrel/retrieval/v1/retrieval.grpc.pb.h"
#include "cli/commands.h"
#include "cli/data_dir.h"
#include "cli/event_teller.h"
#include "cli/gateway_endpoint.h"
#include "cli/http_client.h"
#include "cli/supervisor.h"
#include "free_address.h"
#include "root_key.h"
#include "rpc/client.h"
#include "rpc/log.h"
#include "strings.h"

namespace carrel::cli {
namespace {

constexpr Part kParts[] = {Part::kRetrieval, Part::kInterpreter};
constexpr char kDefaultGrpc[] = "127.0.0.1:8081";
constexpr absl::Duration kHealthMax = absl::Seconds(2);
// For a reader of our output to take the last of it.
constexpr absl::Duration kLastWords = absl::Seconds(2);
// What serve knows once it has looked around.
struct Serving {
  Place place;
  rpc::Address http;  // where the gateway listens
  rpc::Address grpc;
  std::string model_key;  // "": the model wants none
  RootKey root_key;
};

// Without what is ours: the configuration goes along as flags, and the keys are for the gateway alone; the other
// servers run people's code and read their documents.
std::vector<std::string> ServerEnvironment() {
  std::vector<std::string> environment = config::ProcessEnvironment();
  std::erase_if(environment, [](const std::string& entry) { return entry.starts_with("CARREL_"); });
  return environment;
}

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

void AppendSettings(std::vector<std::string>& argv, const config::Config& config) {
  for (const config::Setting& setting : config::Changed(config)) {
    argv.insert(argv.end(), {"--set", StrCat(setting.key, "=", setting.value)});
  }
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
  if (const std::string& directory = place.config.interpreter.workspace_directory;
      part == Part::kInterpreter && !directory.empty()) {
    argv.insert(argv.end(), {"--workspaces", directory});
  }
  argv.insert(argv.end(), {"--zygote-forks-max", std::to_string(place.config.jail.zygote_forks_max)});
  argv.insert(argv.end(), {"--", "--listen", listen.ToString(), "--data", DataDirOf(place, part)});
  config::Config config = place.config;
  if (const auto uid = GatewayUid(place); uid.has_value()) config.rpc.allowed_uids.push_back(*uid);
  AppendSettings(argv, config);
  return argv;
}

absl::StatusOr<SupervisedProgram> PartProgram(const Place& place, Part part) {
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
      .env = ServerEnvironment(),
      .advice = "`carrel doctor` tells what the jail lacks",
      .health = [channel_options, service = ServiceName(part)]() -> absl::Status {
        // A channel each time: a failed one waits longer and longer before it tries again.
        const auto channel = rpc::MakeChannel(channel_options);
        if (!channel.ok()) return channel.status();
        return rpc::CheckHealth(*channel, service, absl::Seconds(1));
      },
  };
}

// The model's key, which the gateway, another user, could not read from the file.
absl::StatusOr<std::string> ModelKey(const config::ModelConfig& model) {
  if (!model.api_key.empty() || model.api_key_file.empty()) return model.api_key;
  std::ifstream in(model.api_key_file);
  std::string key;
  if (std::getline(in, key) && !key.empty()) return key;
  return absl::InvalidArgumentError(
      StrCat("model.api_key_file: ", model.api_key_file, " cannot be read, or its first line is empty"));
}

absl::Status AskGateway(const HttpTarget& target, const std::string& path) {
  const auto reply = HttpClient(target).Perform({.path = path, .patience = kHealthMax});
  if (!reply.ok()) return reply.status();
  if (reply->status == 200) return absl::OkStatus();
  return absl::UnavailableError(StrCat(path, " answers ", reply->status, ": ", reply->body.substr(0, 300)));
}

// Secrets by environment, everything else by flags.
absl::StatusOr<SupervisedProgram> GatewayProgram(const Serving& serving) {
  const Place& place = serving.place;
  const auto program = ProgramBeside("carrel-gateway");
  if (!program.ok()) return program.status();
  const auto interpreter = AddressOf(place, Part::kInterpreter);
  const auto retrieval = AddressOf(place, Part::kRetrieval);
  if (!interpreter.ok()) return interpreter.status();
  if (!retrieval.ok()) return retrieval.status();
  config::Config config = place.config;
  config.gateway.listen = serving.http.ToString();
  config.gateway.grpc_listen = serving.grpc.ToString();
  if (config.gateway.interpreter.empty()) config.gateway.interpreter = interpreter->ToString();
  if (config.gateway.retrieval.empty()) config.gateway.retrieval = retrieval->ToString();
  config.model.api_key_file = "";
  std::vector<std::string> argv = {*program, "--data", GatewayDirOf(place)};
  AppendSettings(argv, config);
  std::vector<std::string> environment = ServerEnvironment();
  if (!serving.model_key.empty()) environment.push_back(StrCat("CARREL_MODEL_API_KEY=", serving.model_key));
  const std::string& proxy = place.config.model.proxy_url;  // may hold a password
  if (!proxy.empty()) environment.push_back(StrCat("CARREL_MODEL_PROXY_URL=", proxy));
  if (!serving.root_key.key.empty()) environment.push_back(StrCat("CARREL_BOOTSTRAP_KEY=", serving.root_key.key));
  const HttpTarget target{.url = StrCat("http://", serving.http.ToString())};
  return SupervisedProgram{
      .name = "gateway",
      .argv = std::move(argv),
      .env = std::move(environment),
      .uid = GatewayUid(place),
      .uses_the_others = true,
      .health = [target] { return AskGateway(target, "/readyz"); },
      .answers = [target] { return HttpClient(target).Perform({.path = "/healthz", .patience = kHealthMax}).status(); },
      // Silence alone tells that it hangs: what another lacks is no reason to replace the gateway, and at its limit of
      // connections it closes ours at once.
      .alive = [target]() -> absl::Status {
        const auto reply = HttpClient(target).Perform({.path = "/healthz", .patience = kHealthMax});
        return absl::IsDeadlineExceeded(reply.status()) ? reply.status() : absl::OkStatus();
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

// Where clients on this machine find it: what listens everywhere is found at home.
rpc::Address Reachable(rpc::Address address) {
  if (address.host == "0.0.0.0") address.host = "127.0.0.1";
  if (address.host == "::") address.host = "::1";
  return address;
}

std::string UrlOf(const Serving& serving) { return StrCat("http://", Reachable(serving.http).ToString()); }

// {"event":"died","program":"interpreter","pid":7,"detail":"killed by signal 9 (Killed)"}
std::string EventJson(const SupervisorEvent& event, const Serving& serving) {
  std::string line = StrCat("{\"event\":", rpc::JsonQuote(EventName(event.kind)));
  if (!event.program.empty()) StrAppend(&line, ",\"program\":", rpc::JsonQuote(event.program));
  if (event.pid != 0) StrAppend(&line, ",\"pid\":", event.pid);
  if (!event.detail.empty()) StrAppend(&line, ",\"detail\":", rpc::JsonQuote(event.detail));
  if (event.kind == SupervisorEvent::Kind::kAllReady) {
    const std::string& data = serving.place.data_dir;
    // The key itself is in no log.
    StrAppend(&line, ",\"data\":", rpc::JsonQuote(data), ",\"base_url\":", rpc::JsonQuote(UrlOf(serving) + "/v1"),
              ",\"grpc\":", rpc::JsonQuote(Reachable(serving.grpc).ToString()),
              ",\"key_file\":", rpc::JsonQuote(RootKeyPath(data)),
              ",\"model\":", rpc::JsonQuote(serving.place.config.model.base_url));
    for (const Part part : kParts) {
      const auto address = AddressOf(serving.place, part);
      if (address.ok()) StrAppend(&line, ",\"", NameOf(part), "\":", rpc::JsonQuote(address->ToString()));
    }
  }
  return StrCat(line, "}");
}

std::string KeyLine(const Serving& serving) {
  const std::string path = RootKeyPath(serving.place.data_dir);
  if (serving.root_key.made) return StrCat(serving.root_key.key, "  (shown once; kept in ", path, ")");
  if (!serving.root_key.key.empty()) return StrCat("in ", path);
  return "made earlier and not kept here; `carrel keys create` makes another";
}

void PrintHowToUse(const CommonOptions& common, const Serving& serving, Console& console) {
  std::string flags;
  if (!common.data_dir.empty()) StrAppend(&flags, " --data ", common.data_dir);
  if (!common.config_file.empty()) StrAppend(&flags, " --config ", common.config_file);
  const std::string& model = serving.place.config.model.base_url;
  console.Print("Carrel is ready.");
  console.Print(StrCat("  OpenAI base URL  ", UrlOf(serving), "/v1"));
  console.Print(StrCat("  API key          ", KeyLine(serving)));
  console.Print(StrCat("  chat model       ", model.empty()
                                                  ? "none yet: start with CARREL_MODEL_BASE_URL=http://HOST:PORT/v1"
                                                    " (and CARREL_MODEL_API_KEY), any OpenAI-compatible server"
                                                  : model));
  console.Print(StrCat("  tools over gRPC  ", Reachable(serving.grpc).ToString()));
  console.Print("From a program:");
  console.Print(StrCat("  client = openai.OpenAI(base_url=\"", UrlOf(serving), "/v1\", api_key=…)"));
  console.Print("In another terminal:");
  console.Print(StrCat("  carrel run", flags, " -c 'print(6 * 7)'"));
  console.Print(StrCat("  carrel store add", flags, " manual FILE.pdf"));
  console.Print(StrCat("  carrel search", flags, " manual \"a question\""));
  if (!model.empty()) {
    console.Print(StrCat("  carrel assistants chat", flags, " --model NAME --store manual --tool code_interpreter"));
  }
  console.Print("Ctrl-C ends it.");
}

void Tell(const SupervisorEvent& event, const CommonOptions& common, const Serving& serving, Console& console) {
  console.PrintJsonText(EventJson(event, serving));
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
      PrintHowToUse(common, serving, console);
      break;
    case SupervisorEvent::Kind::kStopping:
      console.Say(StrCat("stopping: ", event.detail));
      break;
    case SupervisorEvent::Kind::kStopped:
      console.Say(event.program.empty() ? "stopped" : StrCat(event.program, " ", event.detail));
      break;
  }
}

// Beyond this machine the keys of the callers would travel in clear.
absl::Status CheckGrpc(const rpc::Address& grpc, const config::RpcConfig& rpc) {
  if (grpc.kind == rpc::Address::Kind::kUnix || grpc.loopback() || !rpc.tls_cert_file.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("--grpc ", grpc.ToString(),
                                           " can be reached from other machines: set rpc.tls_cert_file and "
                                           "rpc.tls_key_file, or listen on 127.0.0.1"));
}

absl::Status FindAddresses(const ServeOptions& options, Serving& serving) {
  const config::GatewayConfig& gateway = serving.place.config.gateway;
  // Both are held until both are found: two zeros are two ports.
  auto http = FindFreeAddress(options.http.empty() ? gateway.listen : options.http, "--http");
  if (!http.ok()) return http.status();
  std::string grpc = options.grpc.empty() ? gateway.grpc_listen : options.grpc;
  if (grpc.empty()) grpc = kDefaultGrpc;
  serving.http = http->address;
  if (grpc.starts_with("unix:")) {
    auto address = rpc::ParseAddress(grpc);
    if (!address.ok()) return address.status();
    serving.grpc = *std::move(address);
    return absl::OkStatus();
  }
  auto found = FindFreeAddress(grpc, "--grpc");
  if (!found.ok()) return found.status();
  serving.grpc = found->address;
  return CheckGrpc(serving.grpc, serving.place.config.rpc);
}

absl::Status ServeOrStatus(const CommonOptions& common, const ServeOptions& options, Serving serving,
                           rpc::ShutdownSignals& signals, Console& console) {
  const Place& place = serving.place;
  // The lock first: the rest belongs to who has it.
  const auto lock = DataDirLock::Take(place.data_dir);
  if (!lock.ok()) return lock.status();
  if (auto status = FindAddresses(options, serving); !status.ok()) return status;
  // Before anything is made: a wrong configuration leaves nothing behind.
  auto model_key = ModelKey(place.config.model);
  if (!model_key.ok()) return model_key.status();
  serving.model_key = *std::move(model_key);
  if (auto status = PrepareDataDir(place); !status.ok()) return status;
  const bool first = !std::filesystem::exists(GatewayDirOf(place) + "/gateway.db");
  auto root_key = PrepareRootKey(place.data_dir, first);
  if (!root_key.ok()) return root_key.status();
  serving.root_key = *std::move(root_key);
  std::vector<SupervisedProgram> programs;
  for (const Part part : kParts) {
    auto program = PartProgram(place, part);
    if (!program.ok()) return program.status();
    programs.push_back(*std::move(program));
  }
  auto gateway = GatewayProgram(serving);
  if (!gateway.ok()) return gateway.status();
  programs.push_back(*std::move(gateway));
  const ServeRecord record{.url = UrlOf(serving), .grpc = Reachable(serving.grpc).ToString()};
  if (auto status = WriteServeRecord(place.data_dir, record); !status.ok()) return status;
  if (!serving.http.loopback()) {
    console.Say(StrCat("the API listens on ", serving.http.ToString(),
                       " without TLS: put something in front of it that speaks TLS, or keys travel in clear"));
  }
  EventTeller teller([&](const SupervisorEvent& event) { Tell(event, common, serving, console); });
  Supervisor supervisor(std::move(programs),
                        {.start_max = absl::Milliseconds(static_cast<int64_t>(place.config.serve.start_ms_max)),
                         .stop_max = absl::Milliseconds(static_cast<int64_t>(place.config.serve.stop_ms_max)),
                         .backoff_max = absl::Milliseconds(static_cast<int64_t>(place.config.serve.restart_ms_max)),
                         .hung = absl::Milliseconds(static_cast<int64_t>(place.config.serve.hung_ms_max))},
                        [&](const SupervisorEvent& event) { teller.Push(event); });
  absl::Status status = supervisor.Run(signals);
  RemoveServeRecord(place.data_dir);
  // Nobody reads what we say, so neither would he read the rest, and an ordinary exit would wait for him.
  if (!teller.Finish(kLastWords)) ::_exit(static_cast<int>(status.ok() ? ExitCode::kOk : ExitCode::kInternal));
  return status;
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
  const absl::Status status = ServeOrStatus(common, options, {.place = *std::move(place)}, signals, console);
  if (status.ok()) return ExitCode::kOk;
  console.Fail(status);
  // What cannot be served is no unreachable server: the caller of `serve` has to mend something.
  return absl::IsAlreadyExists(status) || absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status)
             ? ExitCode::kUsage
             : ExitCode::kInternal;
}

}  // namespace carrel::cli
