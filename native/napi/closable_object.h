// A JavaScript object with a native object behind it until it is closed.
//
// Not a Napi::ObjectWrap: its weak reference stays until the garbage collector has found the object dead, and each of
// them takes up to a microsecond of a pause of the collector. What is made and closed by the ten thousand is better
// forgotten when it is closed.
#pragma once

#include <napi.h>

#include <memory>
#include <type_traits>
#include <vector>

namespace podfs {

// `Native` derives from it, and has ThrowClosed(env): what methods of a closed object throw. The event-loop thread
// only.
template <typename Native>
class ClosableObject {
 public:
  ClosableObject(const ClosableObject&) = delete;
  ClosableObject& operator=(const ClosableObject&) = delete;

 protected:
  using Property = napi_property_descriptor;

  ClosableObject() = default;
  ~ClosableObject() = default;

  // A class whose instances are closed until they are attached.
  static Napi::Function Define(Napi::Env env, const char* name, const std::vector<Property>& properties) {
    const auto construct = [](napi_env, napi_callback_info) -> napi_value { return nullptr; };
    napi_value result = nullptr;
    const napi_status status = napi_define_class(env, name, NAPI_AUTO_LENGTH, construct, nullptr, properties.size(),
                                                 properties.data(), &result);
    NAPI_THROW_IF_FAILED(env, status, Napi::Function());
    return Napi::Function(env, result);
  }
  // A member function, called with the Napi::CallbackInfo while the object is open.
  template <auto method>
  static Property Method(const char* name) {
    return {name, nullptr, CallMethod<method>, nullptr, nullptr, nullptr, napi_default, nullptr};
  }
  // A function of the environment and the native object, which is null once the object is closed.
  template <auto get>
  static Property Getter(const char* name) {
    return {name, nullptr, nullptr, CallGetter<get>, nullptr, nullptr, napi_default, nullptr};
  }
  // Deletes the native object; again, it does nothing.
  static Property CloseMethod(const char* name) {
    return {name, nullptr, CallClose, nullptr, nullptr, nullptr, napi_default, nullptr};
  }

  // Opens the object; the garbage collector closes it if nobody does. After whatever else the object is given: V8 makes
  // a slow dictionary of one that loses another property than its latest. Throws if it is open.
  static void Attach(const Napi::Object& object, std::unique_ptr<Native> native) {
    const auto finalize = [](napi_env, void* data, void*) { delete static_cast<Native*>(data); };
    napi_ref reference = nullptr;
    const napi_status status = napi_wrap(object.Env(), object, native.get(), finalize, nullptr, &reference);
    NAPI_THROW_IF_FAILED_VOID(object.Env(), status);
    Native* const attached = native.release();
    attached->reference_ = Napi::ObjectReference(object.Env(), reference);
  }
  // What is behind an instance; null if it is closed.
  static Native* Of(const Napi::Value& object) {
    void* native = nullptr;
    napi_unwrap(object.Env(), object, &native);
    return static_cast<Native*>(native);
  }

  Napi::Env Env() const { return reference_.Env(); }
  // Of the object: weak, and empty before Attach. Its value is empty when the garbage collector has found the object
  // dead, and has not come to delete this.
  const Napi::ObjectReference& reference() const { return reference_; }

 private:
  template <auto method>
  static napi_value CallMethod(napi_env env, napi_callback_info call) {
    const Napi::CallbackInfo info(env, call);
    Native* const native = Of(info.This());
    if (native == nullptr) {
      Native::ThrowClosed(env);
      return nullptr;
    }
    if constexpr (std::is_void_v<std::invoke_result_t<decltype(method), Native, const Napi::CallbackInfo&>>) {
      (native->*method)(info);
      return nullptr;
    } else {
      return (native->*method)(info);
    }
  }
  template <auto get>
  static napi_value CallGetter(napi_env env, napi_callback_info call) {
    const Napi::CallbackInfo info(env, call);
    return get(info.Env(), Of(info.This()));
  }
  static napi_value CallClose(napi_env env, napi_callback_info call) {
    const Napi::CallbackInfo info(env, call);
    void* native = nullptr;
    if (napi_remove_wrap(env, info.This(), &native) == napi_ok) delete static_cast<Native*>(native);
    return nullptr;
  }

  Napi::ObjectReference reference_;
};

}  // namespace podfs
