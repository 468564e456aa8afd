#include "session.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "gateway/openai/errors.h"
#include "gateway/openai/responses.h"
#include "gateway/types/error.h"
#include "gateway/types/status_macros.h"
#include "gateway/types/upload.h"
#include "multipart.h"

namespace carrel::gateway::http {
namespace {

namespace bhttp = beast::http;
using asio::redirect_error;
using asio::use_awaitable;

constexpr size_t kChunk = 256 << 10;
// What one read from a socket takes while a body comes in. Beast reads as much as its buffer has room for, 512 bytes at
// first: a file of 512 MiB would take a million reads.
constexpr size_t kReadAtOnce = 64 << 10;
// Of a body that nobody wants, to let the client read why; a longer one is cut off.
constexpr size_t kDiscardMax = 16 << 20;
constexpr size_t kFormFieldMax = 64 << 10;
constexpr size_t kFormPartsMax = 64;
// What is left of a body that was refused is read for this long at most, and while the client goes on sending.
constexpr auto kLingerMax = std::chrono::seconds(30);
constexpr auto kLingerSilenceMax = std::chrono::seconds(2);
// Events that one write takes at most.
constexpr size_t kEventsAtOnce = 256;
// How long clients that poll are told to wait: runs of a local model are often done within it.
constexpr char kPollAfterMs[] = "150";

std::chrono::steady_clock::duration Chrono(absl::Duration duration) { return absl::ToChronoNanoseconds(duration); }

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

// The key of "Authorization: Bearer …", or Azure's "api-key".
std::string KeyOf(const bhttp::request_header<>& head) {
  std::string_view authorization = View(head[bhttp::field::authorization]);
  constexpr std::string_view kBearer = "bearer ";
  if (authorization.size() > kBearer.size() &&
      beast::iequals({authorization.data(), kBearer.size()}, {kBearer.data(), kBearer.size()})) {
    authorization.remove_prefix(kBearer.size());
    while (authorization.starts_with(' ')) authorization.remove_prefix(1);
    return std::string(authorization);
  }
  return std::string(View(head["api-key"]));
}

Request RequestOf(const bhttp::request_header<>& head, bool admin, std::string request_id) {
  Request request;
  request.method = std::string(View(head.method_string()));
  request.head_only = request.method == "HEAD";
  if (request.head_only) request.method = "GET";
  std::string_view target = View(head.target());
  target = target.substr(0, target.find('#'));
  size_t question = target.find('?');
  if (question != std::string_view::npos) request.query = Query(target.substr(question + 1));
  request.url_path = std::string(target.substr(0, question));
  request.path = std::string(BelowBase(request.url_path));
  request.view.version = VersionOf(View(head["OpenAI-Beta"]), request.query.Get("api-version").value_or(""));
  request.view.carrel = View(head["X-Carrel"]) == "1";
  for (const std::string& include : request.query.All("include")) {
    if (include == "step_details.tool_calls[*].file_search.results[*].content") request.view.search_content = true;
  }
  request.request_id = std::move(request_id);
  request.admin = admin;
  return request;
}

// Errors are made in plain functions: gcc 12 destroys the temporaries of a braced list twice when it stands in a
// coroutine.
absl::Status CutShort() {
  return MakeError(ErrorKind::kInvalidRequest, "", {"The request's body did not come to its end."});
}
absl::Status TooLarge(uint64_t bytes_max) { return MakeError(ErrorKind::kBodyTooLarge, "", {absl::StrCat(bytes_max)}); }
absl::Status NoForm(const char* part) {
  return MakeError(
      ErrorKind::kInvalidRequest, "",
      {absl::StrCat("Expected a body of type multipart/form-data, with a boundary, and in it the part '", part, "'.")});
}
absl::Status Encoded(std::string_view encoding) {
  return MakeError(ErrorKind::kInvalidRequest, "",
                   {absl::StrCat("Bodies with Content-Encoding '", std::string(encoding),
                                 "' are not read. Send the body as it is.")});
}
// What the reader of a form complains of, as the client's error.
absl::Status FormError(absl::Status status) {
  if (!absl::IsInvalidArgument(status) || ErrorOf(status).has_value()) return status;
  return MakeError(ErrorKind::kInvalidRequest, "", {std::string(status.message())});
}
absl::Status NotHttp(const boost::system::error_code& error, uint64_t header_bytes_max) {
  if (error == bhttp::error::header_limit) {
    return MakeError(ErrorKind::kInvalidRequest, "",
                     {absl::StrCat("The request's headers are longer than ", header_bytes_max, " bytes.")});
  }
  return MakeError(ErrorKind::kInvalidRequest, "", {absl::StrCat("The request is not HTTP: ", error.message(), ".")});
}
std::string LostEventsData() {
  return openai::RenderErrorData(
      {.kind = ErrorKind::kInvalidRequest,
       .args = {"The stream was read too slowly and has lost events; the run goes on and can be retrieved."}});
}
std::string StoppingData() {
  return openai::RenderErrorData(
      {.kind = ErrorKind::kOverloaded,
       .args = {"The server is stopping. The run goes on when it is back, and can be retrieved."}});
}
Response Fine() { return Response{.status = 200, .body = JsonBody{"{\"status\":\"ok\"}"}}; }

void AppendFrame(std::string& out, std::string_view name, std::string_view data) {
  out += "event: ";
  out += name;
  out += "\ndata: ";
  out += data;  // one line: JSON escapes line ends
  out += "\n\n";
}

// Wakes a coroutine that waits on a timer, from any thread, also after it has gone.
struct Waker {
  explicit Waker(asio::any_io_executor e) : executor(e), timer(e) {}
  asio::any_io_executor executor;
  asio::steady_timer timer;
  bool woken = false;  // on the strand

  static void Wake(const std::shared_ptr<Waker>& waker) {
    asio::post(waker->executor, [waker] {
      waker->woken = true;
      waker->timer.cancel();
    });
  }
};

}  // namespace

Session::Session(Shared& shared, Socket socket, bool admin)
    : shared_(shared), stream_(std::move(socket)), buffer_(kChunk), admin_(admin) {
  ++shared_.connections;
}

Session::~Session() { --shared_.connections; }

template <typename Work>
asio::awaitable<void> Session::OnWorker(Work work) {
  auto initiate = [this, &work](auto handler) {
    asio::post(shared_.workers, [&work, handler = std::move(handler)]() mutable {
      work();
      auto executor = asio::get_associated_executor(handler);
      asio::post(executor, std::move(handler));
    });
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(std::move(initiate), use_awaitable);
}

void Session::Close(bool only_idle) {
  asio::post(stream_.get_executor(), [self = shared_from_this(), only_idle] {
    if (only_idle && self->serving_) return;
    boost::system::error_code ignored;
    self->stream_.socket().close(ignored);
  });
}

void Session::EndStream() {
  asio::post(stream_.get_executor(), [self = shared_from_this()] {
    self->stream_must_end_ = true;
    if (self->wake_stream_) self->wake_stream_();
  });
}

asio::awaitable<void> Session::Run() {
  auto self = shared_from_this();
  while (!shared_.draining) {
    Parser parser;
    parser.header_limit(shared_.options.header_bytes_max);
    // Read piece by piece, against limits of our own. (boost::none, in 1.74, is a limit of nothing.)
    parser.body_limit(std::numeric_limits<uint64_t>::max());
    boost::system::error_code error;
    stream_.expires_after(Chrono(shared_.options.idle_time_max));
    co_await bhttp::async_read_header(stream_, buffer_, parser, redirect_error(use_awaitable, error));
    if (error) {
      // A peer that is gone or silent is told nothing; one that does not speak HTTP is.
      if (error.category() == bhttp::make_error_code(bhttp::error::bad_method).category() &&
          error != bhttp::error::end_of_stream && error != bhttp::error::partial_message) {
        Request nobody;
        nobody.request_id = shared_.api.ids.New("req_");
        bool large = error == bhttp::error::header_limit;
        openai::HttpError answer =
            openai::RenderError(NotHttp(error, shared_.options.header_bytes_max), nobody.request_id);
        co_await WriteText(nobody, absl::Now(), large ? 431 : 400, "application/json", answer.body, false);
      }
      break;
    }
    serving_ = true;
    bool keep = co_await Serve(parser);
    serving_ = false;
    if (!keep) break;
    buffer_.shrink_to_fit();
  }
  boost::system::error_code ignored;
  stream_.socket().shutdown(Socket::shutdown_both, ignored);
  stream_.socket().close(ignored);
}

asio::awaitable<bool> Session::Serve(Parser& parser) {
  const absl::Time begun = absl::Now();
  Request request = RequestOf(parser.get(), admin_, shared_.api.ids.New("req_"));
  RequestRecord record;
  record.request_id = request.request_id;
  record.method = request.method;
  awaits_continue_ = beast::iequals(parser.get()[bhttp::field::expect], "100-continue");
  absl::StatusOr<Response> answer = co_await Answer(parser, request, record.route);
  bool keep = parser.get().keep_alive() && !shared_.draining;
  bool read_whole = parser.is_done();
  // A client that still waits to be told to send, or has too much to send, is answered first.
  if (!read_whole && !read_failed_ && !awaits_continue_ && parser.content_length().value_or(0) <= kDiscardMax) {
    read_whole = co_await Discard(parser);
  }
  keep = keep && read_whole;
  if (answer.ok()) {
    record.status = answer->status;
    record.streamed = std::holds_alternative<EventStream>(answer->body);
    keep = co_await Write(request, begun, *answer, keep);
  } else {
    openai::HttpError error = openai::RenderError(answer.status(), request.request_id);
    record.status = error.status;
    keep = co_await WriteText(request, begun, error.status, "application/json", error.body, keep);
  }
  record.project = request.project.value;
  record.took = absl::Now() - begun;
  if (shared_.options.observe) shared_.options.observe(record);
  if (!read_whole && !read_failed_) co_await Linger();
  co_return keep;
}

asio::awaitable<absl::StatusOr<Response>> Session::Answer(Parser& parser, Request& request, std::string& route_name) {
  const bhttp::request_header<>& head = parser.get();
  if (request.path == "/healthz") {
    route_name = request.path;
    co_return Fine();
  }
  absl::StatusOr<Response> answer = absl::InternalError("no answer");
  if (request.path == "/readyz") {
    route_name = request.path;
    co_await OnWorker([&] {
      absl::Status ready = shared_.options.ready ? shared_.options.ready() : absl::OkStatus();
      answer = ready.ok() ? absl::StatusOr<Response>(Fine()) : absl::UnavailableError(std::string(ready.message()));
    });
    co_return answer;
  }
  absl::Status authorized;
  if (admin_) {
    request.project = ProjectId(kDefaultProject);
  } else {
    std::string key = KeyOf(head);
    co_await OnWorker([&] {
      absl::StatusOr<ProjectId> project = shared_.api.keys.Check(key);
      authorized = project.status();
      if (project.ok()) request.project = *project;
    });
  }
  if (!authorized.ok()) co_return authorized;
  absl::StatusOr<const Route*> route = FindRoute(request);
  if (!route.ok()) co_return route.status();
  route_name = (*route)->path;
  std::string_view encoding = View(head[bhttp::field::content_encoding]);
  if (!encoding.empty() && encoding != "identity") co_return Encoded(encoding);
  if (awaits_continue_) {
    awaits_continue_ = false;
    bhttp::response<bhttp::empty_body> go_on(bhttp::status::continue_, 11);
    boost::system::error_code ignored;
    co_await bhttp::async_write(stream_, go_on, redirect_error(use_awaitable, ignored));
  }
  // Not `?:`: gcc 12 destroys what a co_await in it yields twice.
  absl::Status read;
  const BodyKind kind = (*route)->body;
  const bool is_form = kind == BodyKind::kFile || kind == BodyKind::kPart ||
                       (kind == BodyKind::kFileOrJson && !BoundaryOf(View(head[bhttp::field::content_type])).empty());
  if (is_form) {
    read = co_await ReadUpload(parser, FilePartOf(kind), request.upload);
  } else {
    read = co_await ReadBody(parser, request.body);
  }
  if (!read.ok()) co_return read;
  co_await OnWorker([&] { answer = (*route)->answer(shared_.api, request); });
  co_return answer;
}

asio::awaitable<absl::StatusOr<size_t>> Session::ReadSome(Parser& parser, char* buffer, size_t size) {
  if (parser.is_done()) co_return size_t{0};
  parser.get().body().data = buffer;
  parser.get().body().size = size;
  if (parser.content_length_remaining().value_or(kReadAtOnce) >= kReadAtOnce) buffer_.reserve(kReadAtOnce);
  boost::system::error_code error;
  stream_.expires_after(Chrono(shared_.options.read_time_max));
  co_await bhttp::async_read_some(stream_, buffer_, parser, redirect_error(use_awaitable, error));
  if (error == bhttp::error::need_buffer) error = {};
  if (error) {
    read_failed_ = true;
    co_return CutShort();
  }
  co_return size - parser.get().body().size;
}

asio::awaitable<absl::Status> Session::ReadBody(Parser& parser, std::string& body) {
  const uint64_t bytes_max = shared_.options.json_bytes_max;
  auto length = parser.content_length();
  if (length && *length > bytes_max) co_return TooLarge(bytes_max);
  if (length) body.reserve(*length);
  std::vector<char> chunk(std::min<uint64_t>(kChunk, length ? *length + 1 : kChunk));
  while (!parser.is_done()) {
    absl::StatusOr<size_t> got = co_await ReadSome(parser, chunk.data(), chunk.size());
    if (!got.ok()) co_return got.status();
    body.append(chunk.data(), *got);
    if (body.size() > bytes_max) co_return TooLarge(bytes_max);
  }
  co_return absl::OkStatus();
}

namespace {

// Puts a form's parts where they belong: the file into the store, the fields into the upload.
PartSink SinkFor(Files& files, std::string file_part, uint64_t bytes_max, Upload& upload,
                 std::unique_ptr<BlobWriter>& writer) {
  struct State {
    PartHeader part;
    size_t parts = 0;
    uint64_t file_bytes = 0;
    size_t field_bytes = 0;  // of names too
  };
  auto state = std::make_shared<State>();
  auto is_file = [state, file_part] { return state->part.is_file && state->part.name == file_part; };
  return {.begin = [&files, &upload, &writer, state, is_file, bytes_max,
                    file_part](const PartHeader& part) -> absl::Status {
            state->part = part;
            state->field_bytes += part.name.size();
            if (++state->parts > kFormPartsMax || state->field_bytes > kFormFieldMax) {
              return MakeError(ErrorKind::kInvalidRequest, "",
                               {absl::StrCat("A form has at most ", kFormPartsMax, " parts, and fields of ",
                                             kFormFieldMax, " bytes in all.")});
            }
            if (!is_file()) return absl::OkStatus();
            if (writer != nullptr || upload.file.has_value()) {
              return MakeError(ErrorKind::kInvalidRequest, file_part, {"Only one file can be uploaded at a time."});
            }
            upload.filename = part.filename;
            GATEWAY_ASSIGN_OR_RETURN(writer, files.StartUpload(bytes_max));
            return absl::OkStatus();
          },
          .data = [&upload, &writer, state, is_file, bytes_max](std::string_view bytes) -> absl::Status {
            if (is_file()) {
              state->file_bytes += bytes.size();
              if (state->file_bytes > bytes_max) {
                return MakeError(ErrorKind::kBodyTooLarge, "", {absl::StrCat(bytes_max)});
              }
              return writer->Append(bytes);
            }
            state->field_bytes += bytes.size();
            if (state->field_bytes > kFormFieldMax) {
              return MakeError(ErrorKind::kBodyTooLarge, "", {absl::StrCat(kFormFieldMax)});
            }
            upload.fields[state->part.name] += bytes;
            return absl::OkStatus();
          },
          .end = [&upload, &writer, state, is_file]() -> absl::Status {
            if (!is_file()) {
              upload.fields[state->part.name];  // an empty field is there too
              return absl::OkStatus();
            }
            GATEWAY_ASSIGN_OR_RETURN(upload.file, writer->Finish());
            writer.reset();
            return absl::OkStatus();
          }};
}

}  // namespace

Session::FilePart Session::FilePartOf(BodyKind body) {
  if (body == BodyKind::kPart) return {.name = "data", .bytes_max = kPartBytesMax};
  return {.name = "file", .bytes_max = kFileBytesMax};
}

asio::awaitable<absl::Status> Session::ReadUpload(Parser& parser, const FilePart& part, Upload& upload) {
  std::string boundary = BoundaryOf(View(parser.get()[bhttp::field::content_type]));
  if (boundary.empty()) co_return NoForm(part.name);
  auto length = parser.content_length();
  if (length && *length > part.bytes_max + kDiscardMax) co_return TooLarge(part.bytes_max);
  std::unique_ptr<BlobWriter> writer;
  MultipartReader form(boundary, SinkFor(shared_.api.files, part.name, part.bytes_max, upload, writer));
  std::vector<char> chunk(kChunk);
  absl::Status status;
  while (status.ok() && !parser.is_done()) {
    absl::StatusOr<size_t> got = co_await ReadSome(parser, chunk.data(), chunk.size());
    status = got.status();
    if (!status.ok()) break;
    co_await OnWorker([&] { status = form.Feed({chunk.data(), *got}); });
  }
  if (status.ok()) status = form.Finish();
  co_return FormError(std::move(status));
}

asio::awaitable<bool> Session::Discard(Parser& parser) {
  std::vector<char> chunk(kChunk);
  size_t discarded = 0;
  while (!parser.is_done()) {
    absl::StatusOr<size_t> got = co_await ReadSome(parser, chunk.data(), chunk.size());
    if (!got.ok() || (discarded += *got) > kDiscardMax) co_return false;
  }
  co_return true;
}

asio::awaitable<void> Session::Linger() {
  boost::system::error_code error;
  stream_.socket().shutdown(Socket::shutdown_send, error);
  std::vector<char> chunk(kChunk);
  const auto end = std::chrono::steady_clock::now() + kLingerMax;
  while (!error && !shared_.draining && std::chrono::steady_clock::now() < end) {
    stream_.expires_after(kLingerSilenceMax);
    co_await stream_.async_read_some(asio::buffer(chunk), redirect_error(use_awaitable, error));
  }
}

bhttp::response_header<> Session::HeadOf(const Request& request, absl::Time begun, int status,
                                         std::string_view type) const {
  bhttp::response_header<> head;
  head.version(11);
  head.result(static_cast<unsigned>(status));
  head.set(bhttp::field::content_type, beast::string_view(type.data(), type.size()));
  head.set("x-request-id", request.request_id);
  head.set("openai-version", "2020-10-01");
  head.set("openai-processing-ms", absl::StrCat(absl::ToInt64Milliseconds(absl::Now() - begun)));
  head.set("openai-poll-after-ms", kPollAfterMs);
  if (!request.project.empty()) head.set("openai-organization", request.project.value);
  if (status == 405) head.set(bhttp::field::allow, absl::StrJoin(request.allowed, ", "));
  return head;
}

asio::awaitable<bool> Session::Write(const Request& request, absl::Time begun, Response& response, bool keep) {
  if (auto* file = std::get_if<FileBody>(&response.body)) co_return co_await WriteFile(request, begun, *file, keep);
  if (auto* events = std::get_if<EventStream>(&response.body)) co_return co_await WriteEvents(request, begun, *events);
  if (auto* bytes = std::get_if<BytesBody>(&response.body)) {
    co_return co_await WriteText(request, begun, response.status, bytes->content_type, bytes->bytes, keep);
  }
  co_return co_await WriteText(request, begun, response.status, "application/json",
                               std::get<JsonBody>(response.body).text, keep);
}

asio::awaitable<bool> Session::WriteText(const Request& request, absl::Time begun, int status, std::string_view type,
                                         const std::string& body, bool keep) {
  bhttp::response<bhttp::string_body> response(HeadOf(request, begun, status, type));
  response.body() = body;
  response.keep_alive(keep);
  response.prepare_payload();
  bhttp::response_serializer<bhttp::string_body> serializer(response);
  boost::system::error_code error;
  stream_.expires_after(Chrono(shared_.options.write_time_max));
  if (request.head_only) {
    co_await bhttp::async_write_header(stream_, serializer, redirect_error(use_awaitable, error));
  } else {
    co_await bhttp::async_write(stream_, serializer, redirect_error(use_awaitable, error));
  }
  co_return keep && !error;
}

asio::awaitable<bool> Session::WriteFile(const Request& request, absl::Time begun, FileBody& file, bool keep) {
  bhttp::response<bhttp::buffer_body> response(HeadOf(request, begun, 200, "application/octet-stream"));
  response.content_length(file.reader->size_bytes());
  response.keep_alive(keep);
  response.body().data = nullptr;
  response.body().more = true;
  bhttp::response_serializer<bhttp::buffer_body> serializer(response);
  boost::system::error_code error;
  stream_.expires_after(Chrono(shared_.options.write_time_max));
  co_await bhttp::async_write_header(stream_, serializer, redirect_error(use_awaitable, error));
  std::vector<char> chunk(kChunk);
  uint64_t left = request.head_only ? 0 : file.reader->size_bytes();
  while (!error && left > 0) {
    absl::StatusOr<size_t> got = size_t{0};
    co_await OnWorker([&] { got = file.reader->Read({chunk.data(), chunk.size()}); });
    if (!got.ok() || *got == 0) co_return false;  // the length is promised: only closing can say that it is not kept
    left -= std::min<uint64_t>(left, *got);
    response.body().data = chunk.data();
    response.body().size = *got;
    response.body().more = left > 0;
    stream_.expires_after(Chrono(shared_.options.write_time_max));
    co_await bhttp::async_write(stream_, serializer, redirect_error(use_awaitable, error));
    if (error == bhttp::error::need_buffer) error = {};
  }
  co_return keep && !error;
}

asio::awaitable<bool> Session::WriteChunk(std::string_view text) {
  boost::system::error_code error;
  stream_.expires_after(Chrono(shared_.options.write_time_max));
  auto chunk = bhttp::make_chunk(asio::const_buffer(text.data(), text.size()));
  co_await asio::async_write(stream_, chunk, redirect_error(use_awaitable, error));
  co_return !error;
}

asio::awaitable<bool> Session::WriteEvents(const Request& request, absl::Time begun, EventStream& stream) {
  bhttp::response<bhttp::empty_body> response(HeadOf(request, begun, 200, "text/event-stream; charset=utf-8"));
  response.set(bhttp::field::cache_control, "no-cache");
  response.set("x-accel-buffering", "no");
  response.chunked(true);
  response.keep_alive(!shared_.draining);
  bhttp::response_serializer<bhttp::empty_body> serializer(response);
  boost::system::error_code error;
  stream_.expires_after(Chrono(shared_.options.write_time_max));
  co_await bhttp::async_write_header(stream_, serializer, redirect_error(use_awaitable, error));
  if (error) co_return false;
  auto waker = std::make_shared<Waker>(stream_.get_executor());
  wake_stream_ = [waker] {
    waker->woken = true;
    waker->timer.cancel();
  };
  bool ended = false;
  while (!ended) {
    absl::StatusOr<std::vector<RunEvent>> events = stream.events->Take(kEventsAtOnce);
    std::string frames;
    if (!events.ok()) {
      AppendFrame(frames, "error", LostEventsData());
      co_await WriteChunk(frames);
      co_return false;
    }
    for (const RunEvent& event : *events) {
      openai::EventText text = openai::RenderEvent(event, stream.view);
      AppendFrame(frames, text.name, text.data);
      ended = EndsStream(event.kind);
      if (ended) break;
    }
    if (ended) AppendFrame(frames, "done", "[DONE]");
    if (!ended && stream_must_end_) {
      AppendFrame(frames, "error", StoppingData());
      ended = true;
    }
    if (frames.empty()) {
      stream.events->NotifyWhenReady([waker] { Waker::Wake(waker); });
      waker->timer.expires_after(Chrono(shared_.options.ping_interval));
      // The wake that came before this line is not lost: it set the flag on this strand.
      if (!waker->woken) co_await waker->timer.async_wait(redirect_error(use_awaitable, error));
      if (!waker->woken) frames = ": ping\n\n";
      waker->woken = false;
    }
    if (!frames.empty() && !co_await WriteChunk(frames)) co_return false;
  }
  auto last = bhttp::make_chunk_last();
  co_await asio::async_write(stream_, last, redirect_error(use_awaitable, error));
  co_return !error && !shared_.draining;
}

}  // namespace carrel::gateway::http
