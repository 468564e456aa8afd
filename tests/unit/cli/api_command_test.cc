// The commands over the API, run as a child against an HTTP server that says what a test wants to hear.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "carrel_process.h"
#include "fake_api.h"

namespace carrel::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

// Stores and files as the API has them; a file whose name says "locked" cannot be read.
class FakeLibrary {
 public:
  FakeApi::Reply Answer(const FakeApi::Request& request) {
    const std::lock_guard lock(mutex_);
    if (request.headers.contains("authorization") && request.headers.at("authorization") != "Bearer sk-test-key") {
      return Error(401, "Incorrect API key provided");
    }
    const std::string& path = request.path;
    if (path == "/v1/files") return Upload(request);
    if (path == "/v1/vector_stores" && request.method == "POST") return Create(request);
    if (path == "/v1/vector_stores") return Page(stores_, request.query);
    if (path.starts_with("/carrel/vector_stores/")) return Cited(request);
    if (path.starts_with("/v1/files/") && request.method == "DELETE") {
      deleted_files_.push_back(path.substr(10));
      return Ok({{"id", path.substr(10)}, {"deleted", true}});
    }
    const std::string rest = path.substr(std::min(path.size(), std::string("/v1/vector_stores/").size()));
    const std::string id = rest.substr(0, rest.find('/'));
    const auto store =
        std::find_if(stores_.begin(), stores_.end(), [&](const Json& known) { return known["id"] == id; });
    if (store == stores_.end()) return Error(404, "No vector store found with id '" + id + "'.");
    const std::string below = rest.substr(id.size());
    if (below == "/search") return Search(request);
    if (below == "/files" && request.method == "POST") return Add(request);
    if (below == "/files") return Page(files_, "");
    if (below.starts_with("/files/")) return OneFile(request, below.substr(7));
    if (request.method == "POST") {
      const Json body = Json::parse(request.body);
      if (body["x_carrel"]["model"] == "none") return Error(400, "there is no model none");
      model_ = body["x_carrel"]["model"];
      embedding_ = 3;
    }
    if (request.method == "DELETE")
      stores_.erase(store);
    else
      (*store)["x_carrel"] = ModelOf();
    return request.method == "DELETE" ? Ok({{"id", id}, {"deleted", true}}) : Ok(*store);
  }
  // Comes to its end after it was asked for a few times, unless it is to fail.
  Json ModelOf() {
    if (embedding_ > 0 && (--embedding_ > 0 || reembedding_fails_)) {
      return {{"model", "small"},
              {"reembedding",
               {{"model", model_},
                {"documents_done", 1},
                {"documents", 2},
                {"embedded", 7},
                {"to_embed", 9},
                {"documents_failed", embedding_ == 0 ? 1 : 0},
                {"message", embedding_ == 0 ? "b.pdf: the endpoint refused" : ""}}}};
    }
    return {{"model", model_}, {"reembedding", nullptr}};
  }
  void set_reembedding_fails() {
    const std::lock_guard lock(mutex_);
    reembedding_fails_ = true;
  }
  static FakeApi::Reply Ok(const Json& value) { return {.body = value.dump()}; }
  static FakeApi::Reply Error(int status, const std::string& message) {
    return {.status = status, .body = Json{{"error", {{"message", message}}}}.dump()};
  }

  std::vector<std::string> deleted_files() {
    const std::lock_guard lock(mutex_);
    return deleted_files_;
  }
  void set_page_size(size_t entries) {
    const std::lock_guard lock(mutex_);
    page_size_ = entries;
  }

 private:
  FakeApi::Reply Create(const FakeApi::Request& request) {
    stores_.push_back({{"id", "vs_" + std::to_string(stores_.size() + 1)},
                       {"name", Json::parse(request.body)["name"]},
                       {"usage_bytes", 0},
                       {"file_counts", {{"total", 0}, {"completed", 0}}}});
    return Ok(stores_.back());
  }
  FakeApi::Reply Page(const std::vector<Json>& all, const std::string& query) const {
    size_t from = 0;
    for (size_t i = 0; i < all.size(); ++i) {
      if (query.find("after=" + all[i]["id"].get<std::string>()) != std::string::npos) from = i + 1;
    }
    Json data = Json::array();
    for (size_t i = from; i < all.size() && data.size() < page_size_; ++i) data.push_back(all[i]);
    return Ok({{"data", data}, {"has_more", from + data.size() < all.size()}});
  }
  FakeApi::Reply Upload(const FakeApi::Request& request) {
    const size_t at = request.body.find("filename=\"") + 10;
    names_.push_back(request.body.substr(at, request.body.find('"', at) - at));
    EXPECT_THAT(request.body, HasSubstr("assistants"));
    return Ok({{"id", "file-" + std::to_string(names_.size())}});
  }
  FakeApi::Reply Add(const FakeApi::Request& request) {
    const Json body = Json::parse(request.body);
    const std::string id = body["file_id"];
    const std::string name = names_.at(std::stoul(id.substr(5)) - 1);
    const bool locked = name.find("locked") != std::string::npos;
    files_.push_back({{"id", id},
                      {"status", locked ? "failed" : "completed"},
                      {"attributes", body["attributes"]},
                      {"last_error", locked ? Json{{"code", "invalid_file"}, {"message", "the document is encrypted"}}
                                            : Json(nullptr)},
                      {"x_carrel", {{"filename", name}, {"pages", 3}, {"passages", 1}, {"verdict", "READ"}}}});
    Json begun = files_.back();
    begun["status"] = "in_progress";
    return Ok(begun);
  }
  FakeApi::Reply OneFile(const FakeApi::Request& request, const std::string& id) {
    const auto file = std::find_if(files_.begin(), files_.end(), [&](const Json& known) { return known["id"] == id; });
    if (file == files_.end()) return Error(404, "No such file");
    const Json value = *file;
    if (request.method == "DELETE") files_.erase(file);
    return Ok(value);
  }
  // A quote over two pages of "notes.txt"-like files; pages are drawn as their request.
  static FakeApi::Reply Cited(const FakeApi::Request& request) {
    if (request.path.ends_with(".png")) return {.body = "PNG " + request.path + "?" + request.query};
    if (request.query != "span=5%3A30") return Error(400, "the text has 40 characters");
    return Ok({{"quote", "It runs over the page."},
               {"span", {{"begin", 5}, {"end", 30}}},
               {"first_page", 3},
               {"last_page", 4},
               {"first_page_label", "iii"},
               {"last_page_label", "iv"},
               {"boxes", {{{"page", 3}, {"x_min", 72.25}, {"y_min", 700}, {"x_max", 300}, {"y_max", 712}}}}});
  }
  static FakeApi::Reply Search(const FakeApi::Request& request) {
    const Json body = Json::parse(request.body);
    EXPECT_EQ(request.headers.at("x-carrel"), "1");
    const Json citation = {{"quote", "asked: " + body["query"].get<std::string>() + "\nsecond line"},
                           {"first_page", 12},
                           {"last_page", 13},
                           {"first_page_label", "xii"},
                           {"last_page_label", "13"}};
    return Ok({{"data",
                {{{"file_id", "file-1"},
                  {"filename", "manual\x1b[2J.pdf"},
                  {"score", 0.8731},
                  {"content", {{{"type", "text"}, {"text", "the passage"}}}},
                  {"x_carrel", {{"heading", ""}, {"passage", "the passage"}, {"citations", {citation}}}}}}}});
  }

  std::mutex mutex_;
  std::vector<Json> stores_;
  std::vector<Json> files_;
  std::vector<std::string> names_;
  std::vector<std::string> deleted_files_;
  size_t page_size_ = 100;
  std::string model_ = "small";
  int embedding_ = 0;
  bool reembedding_fails_ = false;
};

class ApiCommandTest : public CarrelProcess {
 protected:
  ApiCommandTest() : api_([this](const FakeApi::Request& request) { return library_.Answer(request); }) {
    environment_ = {"CARREL_URL=" + api_.url(), "CARREL_API_KEY=sk-test-key"};
  }

  FakeLibrary library_;
  FakeApi api_;
};

TEST_F(ApiCommandTest, StoresAreMadeListedAndDeleted) {
  EXPECT_EQ(Carrel({"store", "create", "manual"}).out, "vs_1\n");
  EXPECT_THAT(Carrel({"store", "list"}).out, HasSubstr("vs_1  manual"));
  EXPECT_THAT(Carrel({"store", "list", "--json"}).out, HasSubstr("\"name\":\"manual\""));
  EXPECT_EQ(Carrel({"store", "delete", "manual"}).exit_code, 0);
  EXPECT_EQ(Carrel({"store", "show", "manual"}).exit_code, 2);
}

TEST_F(ApiCommandTest, ANameIsFoundOnTheLastPageToo) {
  library_.set_page_size(1);
  for (const char* name : {"one", "two", "three"}) Carrel({"store", "create", name});
  EXPECT_EQ(Carrel({"store", "show", "three"}).exit_code, 0);
}

TEST_F(ApiCommandTest, AnAmbiguousNameListsTheIds) {
  Carrel({"store", "create", "twin"});
  Carrel({"store", "create", "twin"});
  const Result result = Carrel({"store", "show", "twin"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("vs_1, vs_2"));
  EXPECT_EQ(Carrel({"store", "show", "vs_2"}).exit_code, 0);
}

TEST_F(ApiCommandTest, StoreAddMakesTheStoreWaitsAndTellsEachVerdict) {
  const Result result =
      Carrel({"store", "add", "manual", WriteFile("good.pdf", "%PDF"), WriteFile("locked.pdf", "%PDF")});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("made the store manual (vs_1)"));
  EXPECT_THAT(result.out, HasSubstr("good.pdf  completed, 3 pages, 1 passage"));
  EXPECT_THAT(result.out, HasSubstr("locked.pdf  failed: the document is encrypted"));
  EXPECT_EQ(Carrel({"store", "remove", "manual", "good.pdf"}).exit_code, 0);
  EXPECT_THAT(Carrel({"store", "show", "manual"}).out, Not(HasSubstr("good.pdf")));
  EXPECT_EQ(Carrel({"store", "add", "manual", temp_.path() + "/none.pdf"}).exit_code, 2);
}

TEST_F(ApiCommandTest, WhatStoreAddUploadedGoesWithItsPlaceInTheStore) {
  Carrel({"store", "add", "manual", WriteFile("a.txt", "a"), WriteFile("b.txt", "b")});
  Carrel({"store", "rm", "manual", "a.txt"});
  EXPECT_EQ(library_.deleted_files(), std::vector<std::string>{"file-1"});
  Carrel({"store", "delete", "manual"});
  EXPECT_EQ(library_.deleted_files(), (std::vector<std::string>{"file-1", "file-2"}));
}

TEST_F(ApiCommandTest, AStoreIsEmbeddedAnew) {
  Carrel({"store", "create", "manual"});
  const Result result = Carrel({"store", "reembed", "manual", "--model", "large"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "vs_1  is embedded with large\n");
  EXPECT_EQ(Carrel({"store", "reembed", "manual", "--model", "fast", "--no-wait"}).out,
            "vs_1  is being embedded with fast\n");
  const Result unknown = Carrel({"store", "reembed", "manual", "--model", "none"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("there is no model none"));
  EXPECT_EQ(Carrel({"store", "reembed", "manual"}).exit_code, 2);
  library_.set_reembedding_fails();
  const Result failed = Carrel({"store", "reembed", "manual", "--model", "large", "--json"});
  EXPECT_EQ(failed.exit_code, 6);
  EXPECT_THAT(failed.err, HasSubstr("1 document could not be embedded anew, so the store keeps its model. b.pdf: the "
                                    "endpoint refused"));
  EXPECT_EQ(Json::parse(failed.out)["x_carrel"]["reembedding"]["documents_failed"], 1);
}

TEST_F(ApiCommandTest, ADirectoryGivesItsDocumentsAndNothingBehindItsLinks) {
  WriteFile("docs/b.md", "b");
  WriteFile("docs/deep/a.txt", "a");
  WriteFile("docs/.git/config.txt", "hidden");
  WriteFile("docs/picture.png", "png");
  WriteFile("outside/secret.txt", "secret");
  fs::create_directory_symlink(temp_.path() + "/outside", temp_.path() + "/docs/link");
  fs::create_symlink(temp_.path() + "/outside/secret.txt", temp_.path() + "/docs/linked.txt");
  const Result result = Carrel({"store", "add", "manual", temp_.path() + "/docs"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("b.md  completed"));
  EXPECT_THAT(result.out, HasSubstr("a.txt  completed"));
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 2) << result.out;
  EXPECT_THAT(result.err, HasSubstr("left out"));
  EXPECT_EQ(Carrel({"store", "remove", "manual", "deep/a.txt"}).exit_code, 0);
  fs::create_directories(temp_.path() + "/empty");
  EXPECT_EQ(Carrel({"store", "add", "manual", temp_.path() + "/empty"}).exit_code, 2);
}

TEST_F(ApiCommandTest, CitePrintsWhereAQuoteStandsAndDrawsItsPages) {
  const Result added = Carrel({"store", "add", "manual", WriteFile("notes.pdf", "x")});
  ASSERT_EQ(added.exit_code, 0) << added.err;
  const std::string png = temp_.path() + "/quote.png";
  const Result result = Carrel({"cite", "manual", "notes.pdf", "--span", "5:30", "--png", png, "--dpi", "100"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("notes.pdf, pages 3 (iii) to 4 (iv)\n   \"It runs over the page.\"\n"));
  EXPECT_THAT(result.out, HasSubstr("characters 5:30\n   page 3: 72.2 700.0 to 300.0 712.0\n"));
  EXPECT_THAT(ReadFile(png), HasSubstr("/pages/3.png?span=5:30&dpi=100"));
  EXPECT_THAT(ReadFile(temp_.path() + "/quote-page-4.png"), HasSubstr("/pages/4.png?span=5:30"));
  const Json json = Json::parse(Carrel({"cite", "manual", "notes.pdf", "--span", "5:30", "--json"}).out);
  EXPECT_EQ(json["file_name"], "notes.pdf");
  EXPECT_EQ(json["citation"]["last_page"], 4);
  EXPECT_TRUE(json["pictures"].empty());

  EXPECT_EQ(Carrel({"cite", "manual", "notes.pdf", "--span", "5:99"}).exit_code, 2);
  EXPECT_EQ(Carrel({"cite", "manual", "none.pdf", "--span", "5:30"}).exit_code, 2);
  EXPECT_EQ(Carrel({"cite", "manual", "how?", "--dpi", "100"}).exit_code, 2) << "dpi without png";
  EXPECT_EQ(Carrel({"cite", "manual", "how?", "--rank", "2", "--span", "5:30"}).exit_code, 2);
  EXPECT_EQ(Carrel({"cite", "manual", "notes.pdf", "--span", "5:30", "--png", "/nowhere/at/all.png"}).exit_code, 2);
}

TEST_F(ApiCommandTest, CiteTakesTheBestQuoteOfAQuestion) {
  ASSERT_EQ(Carrel({"store", "create", "manual"}).exit_code, 0);
  const Result result = Carrel({"cite", "manual", "how?"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const Result few = Carrel({"cite", "manual", "how?", "--rank", "9"});
  EXPECT_EQ(few.exit_code, 2);
  EXPECT_THAT(few.err, HasSubstr("--rank 9: only"));
}

TEST_F(ApiCommandTest, SearchPrintsScoreFilePageAndQuote) {
  Carrel({"store", "create", "manual"});
  const Result result = Carrel({"search", "manual", "how?"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "1. 0.873  manual\\x1b[2J.pdf, pages 12 (xii) to 13\n   \"asked: how? second line\"\n");
  const Json hits = Json::parse(Carrel({"search", "--json", "manual", "how?"}).out)["hits"];
  EXPECT_EQ(hits[0]["citations"][0]["quote"], "asked: how?\nsecond line");
  EXPECT_EQ(hits[0]["passage"], "the passage");
  EXPECT_EQ(Carrel({"search", "nothing", "how?"}).exit_code, 2);
  EXPECT_EQ(Carrel({"search", "manual", "how?", "--max", "51"}).exit_code, 2);
}

TEST_F(ApiCommandTest, ErrorsOfTheServerAreSentencesAndExitCodes) {
  environment_[1] = "CARREL_API_KEY=sk-another";
  const Result wrong = Carrel({"store", "list", "--json"});
  EXPECT_EQ(wrong.exit_code, 3);
  EXPECT_THAT(wrong.err, HasSubstr("Incorrect API key"));
  EXPECT_THAT(wrong.out, HasSubstr("\"code\":\"UNAUTHENTICATED\""));
  environment_ = {"CARREL_URL=http://127.0.0.1:1", "CARREL_API_KEY=sk-test-key"};
  const Result away = Carrel({"store", "list"});
  EXPECT_EQ(away.exit_code, 3);
  EXPECT_THAT(away.err, HasSubstr("carrel serve"));
  environment_ = {"CARREL_URL=ftp://example", "CARREL_API_KEY=sk-test-key"};
  EXPECT_EQ(Carrel({"store", "list"}).exit_code, 2);
  environment_ = {"CARREL_URL=" + api_.url(), "CARREL_API_KEY=sk-test\nX-Header: injected"};
  EXPECT_EQ(Carrel({"store", "list"}).exit_code, 2);
}

TEST_F(ApiCommandTest, ABaseUrlAsClientsHaveItIsUnderstood) {
  environment_[0] = "CARREL_URL=" + api_.url() + "/v1/";
  EXPECT_EQ(Carrel({"store", "list"}).exit_code, 0);
}

TEST_F(ApiCommandTest, TheServerOfTheDataDirectoryIsFound) {
  environment_.clear();
  EXPECT_EQ(Carrel({"store", "list"}).exit_code, 3);  // no key yet
  std::ofstream(data_ + "/root.key") << "sk-test-key\n";
  std::ofstream(data_ + "/run/gateway.json") << Json{{"url", api_.url()}, {"grpc", "127.0.0.1:1"}}.dump();
  EXPECT_EQ(Carrel({"store", "list"}).exit_code, 0);
}

// Attack: a URL that somebody talked the user into using collects the first key of his own machine.
TEST_F(ApiCommandTest, TheRootKeyIsNotShownToAnotherMachine) {
  std::ofstream(data_ + "/root.key") << "sk-test-key\n";
  environment_ = {"CARREL_URL=http://192.0.2.1:8080"};
  const Result result = Carrel({"store", "list"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("set CARREL_API_KEY"));
}

class HostileServer : public CarrelProcess {};

// Attack: a server that sends the key elsewhere by a redirect.
TEST_F(HostileServer, RedirectsAreNotFollowed) {
  std::atomic<int> elsewhere = 0;
  FakeApi other([&](const FakeApi::Request&) {
    ++elsewhere;
    return FakeApi::Reply{};
  });
  FakeApi api([&](const FakeApi::Request&) {
    return FakeApi::Reply{.status = 302, .body = "", .headers = {"Location: " + other.url() + "/"}};
  });
  environment_ = {"CARREL_URL=" + api.url(), "CARREL_API_KEY=sk-test-key"};
  EXPECT_EQ(Carrel({"store", "list"}).exit_code, 6);
  EXPECT_EQ(elsewhere, 0);
}

// Attack: a server that writes to the terminal as if it were the program.
TEST_F(HostileServer, WhatItSaysIsNoCommandToATerminal) {
  FakeApi api([](const FakeApi::Request&) {
    return FakeLibrary::Ok({{"data", {{{"id", "vs_\x1b]0;title\x07"}, {"name", "a\x1b[2J"}}}}, {"has_more", false}});
  });
  environment_ = {"CARREL_URL=" + api.url(), "CARREL_API_KEY=sk-test-key"};
  const Result result = Carrel({"store", "list"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out + result.err, Not(HasSubstr("\x1b")));
}

// Attack: an answer without end.
TEST_F(HostileServer, AnEndlessAnswerIsCutOff) {
  FakeApi api([](const FakeApi::Request&) {
    auto pieces = std::make_shared<int>(0);
    return FakeApi::Reply{.body = "",
                          .more = [pieces] { return ++*pieces < 2000 ? std::string(1 << 20, 'x') : std::string(); }};
  });
  environment_ = {"CARREL_URL=" + api.url(), "CARREL_API_KEY=sk-test-key"};
  const Result result = Carrel({"store", "list"});
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_THAT(result.err, HasSubstr("more than"));
}

class KeysTest : public CarrelProcess {};

TEST_F(KeysTest, AreMadeListedAndRevokedOverTheAdminSocket) {
  FakeApi admin(
      [](const FakeApi::Request& request) {
        EXPECT_FALSE(request.headers.contains("authorization"));
        const Json key = {{"id", "key_1"},   {"project", "lab"},      {"name", "for me"},  {"hint", "wxyz"},
                          {"created_at", 1}, {"revoked_at", nullptr}, {"secret", "sk-new"}};
        if (request.method == "POST") {
          EXPECT_EQ(request.query, "name=for%20me&project=lab");
          return FakeLibrary::Ok(key);
        }
        if (request.method == "DELETE") {
          return request.path == "/carrel/keys/key_1" ? FakeLibrary::Ok({{"deleted", true}})
                                                      : FakeLibrary::Error(404, "No such key");
        }
        return FakeLibrary::Ok({{"data", {key}}});
      },
      data_ + "/admin.sock");
  // The key alone on stdout: `CARREL_API_KEY=$(carrel keys create)`.
  EXPECT_EQ(Carrel({"keys", "create", "--project", "lab", "--name", "for me"}).out, "sk-new\n");
  EXPECT_THAT(Carrel({"keys", "list"}).out, HasSubstr("key_1  project lab  for me  …wxyz"));
  EXPECT_EQ(Carrel({"keys", "revoke", "key_1"}).exit_code, 0);
  EXPECT_EQ(Carrel({"keys", "revoke", "key_2"}).exit_code, 2);
}

TEST_F(KeysTest, WithoutAServerTheSocketIsNamed) {
  const Result result = Carrel({"keys", "list"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("admin.sock"));
}

std::string Event(const std::string& name, const Json& data) {
  return "event: " + name + "\ndata: " + data.dump() + "\n\n";
}

// A conversation with code, a picture and a citation, as the API streams it.
std::string Conversation(const std::string& status) {
  const std::string marker = "【0:0†manual.pdf】";
  const Json citation = {{"type", "file_citation"},
                         {"text", marker},
                         {"file_citation", {{"file_id", "file-m"}}},
                         {"x_carrel", {{"quote", "The lamp\nblinks."}, {"first_page", 3}, {"last_page", 3}}}};
  const auto delta = [](const Json& text) {
    return Event("thread.message.delta", {{"delta", {{"content", {{{"type", "text"}, {"text", text}}}}}}});
  };
  const auto code = [](const Json& call) {
    return Event("thread.run.step.delta", {{"delta", {{"step_details", {{"tool_calls", {call}}}}}}});
  };
  const Json run = {
      {"id", "run_1"},
      {"thread_id", "thread_1"},
      {"status", status},
      {"last_error", status == "failed" ? Json{{"code", "server_error"}, {"message", "no model"}} : Json()}};
  return Event("thread.created", {{"id", "thread_1"}}) + Event("thread.run.created", run) + ": ping\n\n" +
         code({{"id", "call_1"}, {"type", "code_interpreter"}, {"code_interpreter", {{"input", "print(42"}}}}) +
         code({{"type", "code_interpreter"}, {"code_interpreter", {{"input", ")"}}}}) +
         code({{"type", "code_interpreter"},
               {"code_interpreter", {{"outputs", {{{"type", "logs"}, {"logs", "42\n"}}}}}}}) +
         delta({{"value", "It blinks"}}) + delta({{"value", marker}, {"annotations", {citation}}}) +
         delta({{"value", "."}}) +
         Event("thread.message.completed",
               {{"content",
                 {{{"type", "image_file"}, {"image_file", {{"file_id", "file-p"}}}},
                  {{"type", "text"}, {"text", {{"value", ""}, {"annotations", {citation}}}}}}}}) +
         Event("thread.run." + status, run) + "event: done\ndata: [DONE]\n\n";
}

class ChatTest : public CarrelProcess {
 protected:
  ChatTest() : api_([this](const FakeApi::Request& request) { return Answer(request); }) {
    environment_ = {"CARREL_URL=" + api_.url(), "CARREL_API_KEY=sk-test-key"};
  }
  FakeApi::Reply Answer(const FakeApi::Request& request) {
    if (request.path == "/v1/assistants" && request.method == "POST") return FakeLibrary::Ok(Assistant(request.body));
    if (request.path == "/v1/assistants/asst_1") return FakeLibrary::Ok(Assistant("{}"));
    if (request.path == "/v1/files") return FakeLibrary::Ok({{"id", "file-u"}});
    if (request.path == "/v1/files/file-m") return FakeLibrary::Ok({{"filename", "manual.pdf"}});
    if (request.path == "/v1/files/file-p") return FakeLibrary::Ok({{"filename", scene().picture_name}});
    if (request.path == "/v1/files/file-p/content") return {.body = "PNG!"};
    if (request.path.ends_with("/cancel")) {
      cancelled = true;
      return FakeLibrary::Ok(Json::object());
    }
    if (request.path.ends_with("/runs")) {
      if (!scene().waits) return {.body = Conversation(scene().status)};
      return {.body = Event("thread.run.created", {{"id", "run_1"}, {"thread_id", "thread_1"}, {"status", "queued"}}),
              .more = [this, ended = std::make_shared<bool>()]() -> std::string {
                if (*ended) return "";
                while (!cancelled) absl::SleepFor(absl::Milliseconds(5));
                *ended = true;
                return Event("thread.run.cancelled", {{"id", "run_1"}, {"status", "cancelled"}});
              }};
    }
    return FakeLibrary::Error(404, "Invalid URL " + request.path);
  }
  static Json Assistant(const std::string& body) {
    Json assistant = Json::parse(body);
    assistant["id"] = "asst_1";
    return assistant;
  }
  Json BodyOf(const std::string& path) {
    for (const auto& request : api_.requests()) {
      if (request.path == path && request.method == "POST") return Json::parse(request.body);
    }
    return nullptr;
  }

  // What the server tells the commands that follow.
  struct Scene {
    std::string status = "completed";
    std::string picture_name = "plot.png";
    bool waits = false;
  };
  void Play(Scene scene) {
    const std::lock_guard lock(mutex_);
    scene_ = std::move(scene);
  }
  Scene scene() {
    const std::lock_guard lock(mutex_);
    return scene_;
  }

  std::atomic<bool> cancelled = false;
  std::mutex mutex_;
  Scene scene_;
  FakeApi api_;
};

TEST_F(ChatTest, TheAnswerIsOnStdoutWithFootnotesAndTheCodeOnStderr) {
  const Result result = Carrel({"assistants", "chat", "--model", "m", "--tool", "code_interpreter", "hello"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "It blinks[1].\n[1] manual.pdf, page 3: \"The lamp blinks.\"\n");
  EXPECT_THAT(result.err, HasSubstr("print(42)\noutput:\n42\n"));
  EXPECT_THAT(result.err, HasSubstr("plot.png (file-p) is not saved: --out DIR saves it"));
  const Json assistant = BodyOf("/v1/assistants");
  EXPECT_EQ(assistant["model"], "m");
  EXPECT_EQ(assistant["tools"], Json::parse(R"([{"type":"code_interpreter"}])"));
  // The assistant of one chat does not stay.
  EXPECT_EQ(api_.requests().back().method + api_.requests().back().path, "DELETE/v1/assistants/asst_1");
}

TEST_F(ChatTest, FilesGoInAndPicturesComeOut) {
  const std::string out = temp_.path() + "/o";
  const Result result =
      Carrel({"assistants", "chat", "--model", "m", "--file", WriteFile("data.csv", "1"), "--out", out}, "from stdin");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(ReadFile(out + "/plot.png"), "PNG!");
  const Json message = BodyOf("/v1/threads/runs")["thread"]["messages"][0];
  EXPECT_EQ(message["content"], "from stdin");
  EXPECT_EQ(message["attachments"][0]["file_id"], "file-u");
  EXPECT_EQ(message["attachments"][0]["tools"], Json::parse(R"([{"type":"code_interpreter"}])"));
}

// Attack: the code of the model chooses names of files.
TEST_F(ChatTest, AFileOfAHostileNameStaysInTheDirectory) {
  const std::string out = temp_.path() + "/o";
  for (const char* name : {"../../evil", "/etc/evil", "a/../../evil"}) {
    Play({.picture_name = name});
    EXPECT_EQ(Carrel({"assistants", "chat", "--model", "m", "--out", out, "x"}).exit_code, 0) << name;
  }
  EXPECT_EQ(ReadFile(out + "/evil"), "PNG!");
  EXPECT_FALSE(fs::exists(temp_.path() + "/evil"));
  Play({.picture_name = "evil\x1b[2J"});
  const Result result = Carrel({"assistants", "chat", "--model", "m", "--out", out, "x"});
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_THAT(result.err, Not(HasSubstr("\x1b")));
}

TEST_F(ChatTest, AThreadGoesOnAndAFailureIsTold) {
  Play({.status = "failed"});
  const Result result = Carrel({"assistants", "chat", "--assistant", "asst_1", "--thread", "thread_9", "again"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("the run failed: no model"));
  EXPECT_EQ(BodyOf("/v1/threads/thread_9/runs")["additional_messages"][0]["content"], "again");
  EXPECT_EQ(Carrel({"assistants", "chat", "--assistant", "asst_1", "--model", "m", "x"}).exit_code, 2);
  EXPECT_EQ(Carrel({"assistants", "chat", "x"}).exit_code, 2);
  EXPECT_EQ(Carrel({"assistants", "chat", "--model", "m", "--tool", "browser", "x"}).exit_code, 2);
}

TEST_F(ChatTest, InJsonEachEventIsALine) {
  const Result result = Carrel({"assistants", "chat", "--json", "--model", "m", "x"});
  EXPECT_EQ(result.out.find("{\"data\":{\"id\":\"thread_1\"},\"event\":\"thread.created\"}\n"), 0u) << result.out;
}

TEST_F(ChatTest, CtrlCCancelsTheRun) {
  Play({.waits = true});
  ChildProcess process = Spawn({"assistants", "chat", "--model", "m", "--json", "x"});
  for (int i = 0; i < 1000 && ReadFile(temp_.path() + "/out").empty(); ++i) absl::SleepFor(absl::Milliseconds(10));
  ASSERT_TRUE(process.Signal(SIGINT).ok());
  const Result result = Await(process);
  EXPECT_TRUE(cancelled);
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr("the run cancelled"));
}

}  // namespace
}  // namespace carrel::cli
