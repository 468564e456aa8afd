// carrel-retrieval: started by carrel-jailer, which makes the jails that documents are read in.
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "config/server_flags.h"
#include "retrieval/extraction.h"
#include "retrieval/library.h"
#include "retrieval/model_directory.h"
#include "retrieval/openvino_embedder.h"
#include "retrieval/page_painter.h"
#include "retrieval/remote_embedder.h"
#include "retrieval/service/retrieval_service.h"
#include "retrieval/vector_index.h"
#include "rpc/address.h"
#include "rpc/log.h"
#include "rpc/server.h"
#include "rpc/signals.h"
#include "rpc/watched_serving.h"
#include "sandbox/jailer_client.h"

namespace carrel::retrieval {
namespace {

// bin/../share/carrel/models, seen from the executable, unless the configuration says otherwise.
std::string ModelsDirectory(const std::string& configured) {
  if (!configured.empty()) return configured;
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path().parent_path() / "share/carrel/models").string();
}

ExtractionLimits ReadingLimits(const config::RetrievalConfig& config) {
  return {.document_bytes_max = config.document_bytes_max,
          .pages_max = static_cast<uint32_t>(config.document_pages_max),
          .memory_bytes_max = config.extract_memory_bytes_max,
          .cpu_seconds_max = config.extract_cpu_seconds_max,
          .wall_max = absl::Milliseconds(static_cast<int64_t>(config.extract_wall_ms_max))};
}

// For the page of metrics; what cannot be counted now is left out.
std::vector<rpc::Sample> Samples(Library& library) {
  const absl::StatusOr<LibraryStatistics> statistics = library.Statistics();
  if (!statistics.ok()) return {};
  const auto gauge = [](const char* name, const char* help, uint64_t value) {
    return rpc::Sample{name, help, {}, static_cast<double>(value), rpc::Sample::Kind::kGauge};
  };
  return {gauge("carrel_documents_queued", "Documents that are being read in or wait for it", statistics->queue_length),
          gauge("carrel_documents_postponed", "Of the queued, those that wait to be tried again after an error",
                statistics->postponed),
          gauge("carrel_stores", "Stores of documents", statistics->stores),
          gauge("carrel_index_bytes", "Memory of the indexes of stores", statistics->index_bytes)};
}

rpc::ServerOptions ServingOptions(const config::Config& config, rpc::Address listen) {
  return {.listen = std::move(listen),
          .allowed_uids = {config.rpc.allowed_uids.begin(), config.rpc.allowed_uids.end()},
          .tls = {.cert_file = config.rpc.tls_cert_file,
                  .key_file = config.rpc.tls_key_file,
                  .ca_file = config.rpc.tls_ca_file},
          .token_file = config.rpc.token_file,
          .message_bytes_max = config.rpc.message_bytes_max,
          .threads_max = static_cast<uint32_t>(config.rpc.threads_max),
          .call_max = absl::Milliseconds(static_cast<int64_t>(config.rpc.call_ms_max)),
          .drain = absl::Milliseconds(static_cast<int64_t>(config.rpc.drain_ms)),
          .reflection = config.rpc.reflection,
          .metrics_listen = config.retrieval.metrics_listen};
}

// That the jailer may take to answer that it is there.
constexpr absl::Duration kJailerAnswerMax = absl::Seconds(2);

bool IsRemote(const config::RetrievalConfig& config) { return config.model.starts_with("remote"); }

absl::StatusOr<std::unique_ptr<Embedder>> RemoteModel(const config::RetrievalConfig& config) {
  RemoteEmbedderOptions options{.base_url = config.remote_base_url,
                                .model = config.remote_model,
                                .api_key = config.remote_api_key,
                                .dimensions = static_cast<uint32_t>(config.remote_dimensions),
                                .window_tokens = static_cast<uint32_t>(config.remote_window_tokens),
                                .query_prefix = config.remote_query_prefix,
                                .passage_prefix = config.remote_passage_prefix,
                                .ca_file = config.remote_ca_file,
                                .proxy_url = config.remote_proxy_url,
                                .call_max = absl::Milliseconds(static_cast<int64_t>(config.remote_call_ms_max))};
  if (options.api_key.empty() && !config.remote_api_key_file.empty()) {
    std::ifstream file(config.remote_api_key_file);
    if (!std::getline(file, options.api_key)) {
      return absl::InvalidArgumentError(absl::StrCat("retrieval.remote_api_key_file: ", config.remote_api_key_file,
                                                     " cannot be read, or is empty; its first line is to be the key"));
    }
  }
  return MakeRemoteEmbedder(std::move(options));
}

// The default model first, ready to use; the others are loaded when a store needs them.
absl::StatusOr<std::vector<std::unique_ptr<Embedder>>> LoadModels(const config::RetrievalConfig& config) {
  absl::StatusOr<std::vector<ModelDirectory>> models =
      OpenModels(ModelsDirectory(config.models_dir), IsRemote(config) ? "fast" : config.model);
  if (!models.ok()) return models.status();
  std::vector<std::unique_ptr<Embedder>> out;
  for (const ModelDirectory& model : *models) {
    absl::StatusOr<std::unique_ptr<Embedder>> embedder =
        MakeOpenVinoEmbedder(model, {.threads_max = static_cast<uint32_t>(config.embed_threads),
                                     .fastest = true,
                                     .load_at_first_use = IsRemote(config) || !out.empty()});
    if (!embedder.ok()) return embedder.status();
    rpc::Log(rpc::LogLevel::kInfo, "model",
             {{"name", (*embedder)->name()}, {"dimensions", uint64_t{(*embedder)->dimensions()}}});
    out.push_back(*std::move(embedder));
  }
  if (!config.remote_base_url.empty()) {
    absl::StatusOr<std::unique_ptr<Embedder>> remote = RemoteModel(config);
    if (!remote.ok()) return remote.status();
    rpc::Log(rpc::LogLevel::kInfo, "model",
             {{"name", (*remote)->name()}, {"dimensions", uint64_t{(*remote)->dimensions()}}});
    out.insert(IsRemote(config) ? out.begin() : out.end(), *std::move(remote));
  } else if (IsRemote(config)) {
    return absl::InvalidArgumentError("retrieval.model is \"remote\", and retrieval.remote_base_url is empty");
  }
  return out;
}

absl::Status Serve(const config::ServerFlags& flags) {
  const config::Config& config = flags.config;
  if (absl::Status status = CheckVectorInstructions(); !status.ok()) return status;
  if (flags.data_dir.empty()) return absl::InvalidArgumentError("--data DIR is missing: where documents are kept");
  if (flags.listen.empty()) return absl::InvalidArgumentError("--listen unix:PATH or HOST:PORT is missing");
  absl::StatusOr<rpc::Address> listen = rpc::ParseAddress(flags.listen);
  if (!listen.ok()) return listen.status();
  absl::StatusOr<rpc::ShutdownSignals> signals = rpc::ShutdownSignals::Block();
  if (!signals.ok()) return signals.status();
  if (rpc::LogLevel level = rpc::LogLevel::kInfo; rpc::ParseLogLevel(config.log.level, level)) rpc::SetLogLevel(level);

  absl::StatusOr<std::unique_ptr<sandbox::JailMaker>> jails = sandbox::ConnectToJailer();
  if (!jails.ok()) return jails.status();
  if (absl::Status status = CheckLanguages(config.retrieval.ocr_languages); !status.ok()) return status;
  const RecognitionOptions recognition{.enabled = config.retrieval.ocr == "auto" && RecognitionIsInstalled(),
                                       .languages = config.retrieval.ocr_languages,
                                       .pages_max = static_cast<uint32_t>(config.retrieval.ocr_pages_max)};
  const std::unique_ptr<Extractor> extractor = MakeJailedExtractor(**jails, "extract", recognition);
  const std::unique_ptr<PagePainter> painter = MakeJailedPainter(**jails);

  absl::StatusOr<std::vector<std::unique_ptr<Embedder>>> models = LoadModels(config.retrieval);
  if (!models.ok()) return models.status();
  std::vector<Embedder*> embedders;
  for (const std::unique_ptr<Embedder>& model : *models) embedders.push_back(model.get());

  LibraryOptions options{.directory = flags.data_dir,
                         .sync_full = config.storage.sync == "full",
                         .ingest_workers = static_cast<uint32_t>(config.retrieval.ingest_workers),
                         .queue_length_max = config.retrieval.queue_length_max,
                         .index_bytes_max = config.retrieval.index_bytes_max};
  const ExtractionLimits reading = ReadingLimits(config.retrieval);
  options.extraction = reading;
  options.postponed = [](const std::string& reason) {
    rpc::Log(rpc::LogLevel::kWarning, "documents wait to be tried again", {{"why", reason}});
  };
  absl::StatusOr<std::unique_ptr<Library>> library = Library::Open(std::move(options), embedders, *extractor);
  if (!library.ok()) return library.status();
  const std::unique_ptr<v1::Retrieval::Service> service =
      MakeRetrievalService({.version = CARREL_VERSION,
                            .reading = reading,
                            .painter = painter.get(),
                            .recognition = config.retrieval.ocr == "off" ? "off"
                                           : recognition.enabled         ? "on"
                                                                         : "missing"},
                           **library, embedders, jails->get());
  rpc::ServerOptions serving = ServingOptions(config, *listen);
  serving.samples = [&library = **library] { return Samples(library); };
  absl::StatusOr<std::unique_ptr<rpc::Server>> server =
      rpc::Server::Start(std::move(serving), {{service.get(), std::string(v1::Retrieval::service_full_name())}});
  if (!server.ok()) return server.status();
  rpc::Log(rpc::LogLevel::kInfo, "serving", {{"listen", (*server)->listening().ToString()}});
  const int signal = rpc::ServeWhileItAnswers(**server, *signals,
                                              [&jails] { return (*jails)->Check(absl::Now() + kJailerAnswerMax); });
  rpc::Log(rpc::LogLevel::kInfo, "stopping", {{"signal", int64_t{signal}}});
  (*server)->Shutdown();
  return absl::OkStatus();
}

// For `carrel doctor`: how vectors are compared here, and whether scans can be read, as JSON on one line.
int Doctor() {
  const bool fast = VectorInstructions() != "SSE";
  const absl::Status runs = CheckVectorInstructions();
  const std::string detail =
      !runs.ok() ? std::string(runs.message())
      : fast     ? "FAISS is built with vector instructions"
                 : "Debian's packaged FAISS, built for SSE only: searches of large stores are 5 to 19 times slower";
  const bool reads = RecognitionIsInstalled();
  const std::string recognition = absl::StrCat(
      "{\"installed\":", reads ? "true" : "false", ",\"detail\":",
      rpc::JsonQuote(reads ? "tesseract is there; [retrieval] ocr = \"auto\" uses it for pages without text"
                           : "tesseract is not installed: pages without text cannot be read"),
      ",\"mend\":", rpc::JsonQuote(reads ? "" : "apt-get install tesseract-ocr"), "}");
  std::printf("{\"instructions\":%s,\"detail\":%s,\"mend\":%s,\"recognition\":%s}\n",
              rpc::JsonQuote(VectorInstructions()).c_str(), rpc::JsonQuote(detail).c_str(),
              rpc::JsonQuote(runs.ok() && fast ? "" : "./dev setup && ./dev build").c_str(), recognition.c_str());
  return 0;
}

int Main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--doctor") return Doctor();
  const config::ServerFlags flags = config::ParseServerFlags(argc, argv, "retrieval", CARREL_VERSION);
  if (flags.exit_code) return *flags.exit_code;
  const absl::Status status = Serve(flags);
  if (status.ok()) return 0;
  std::fprintf(stderr, "carrel-retrieval: %s\n", status.ToString().c_str());
  return absl::IsInvalidArgument(status) ? 2 : 6;
}

}  // namespace
}  // namespace carrel::retrieval

int main(int argc, char** argv) { return carrel::retrieval::Main(argc, argv); }
