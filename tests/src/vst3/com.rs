//! What a VST3 host hands to plugins: itself, streams of state, parameter changes.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::thread::{self, ThreadId};

use vst3::Steinberg::Vst::*;
use vst3::Steinberg::*;
use vst3::{Class, ComWrapper, Interface};

/// The host as the plugin sees it: a name, and a place to announce changes.
pub struct Host {
    restart: AtomicI32,
    /// In a call of `process`, where nothing may be announced.
    processing: AtomicBool,
    forbidden_restarts: AtomicU32,
    main_thread: ThreadId,
}

impl Host {
    /// For a plugin whose main thread is the calling one.
    pub fn new() -> Self {
        Self {
            restart: AtomicI32::new(0),
            processing: AtomicBool::new(false),
            forbidden_restarts: AtomicU32::new(0),
            main_thread: thread::current().id(),
        }
    }

    /// Set by the host around `process`: this host's audio thread may be its main thread.
    pub fn set_processing(&self, processing: bool) {
        self.processing.store(processing, Ordering::Relaxed);
    }

    /// Restarts that were announced in `process` or on another thread than the main one, both against the rules.
    pub fn forbidden_restarts(&self) -> u32 {
        self.forbidden_restarts.load(Ordering::Relaxed)
    }

    /// What the plugin has announced since the last call ([`RestartFlags_`]).
    pub fn take_restart_flags(&self) -> i32 {
        self.restart.swap(0, Ordering::SeqCst)
    }
}

impl Class for Host {
    type Interfaces = (IHostApplication, IComponentHandler);
}

impl IHostApplicationTrait for Host {
    unsafe fn getName(&self, name: *mut String128) -> tresult {
        let text = "Tributary's test host";
        // SAFETY: the plugin vouches for the array.
        let name = unsafe { &mut *name };
        name.fill(0);
        for (to, from) in name.iter_mut().zip(text.encode_utf16()) {
            *to = from;
        }
        kResultOk
    }

    unsafe fn createInstance(&self, _: *mut TUID, _: *mut TUID, object: *mut *mut c_void) -> tresult {
        // SAFETY: the plugin vouches for the pointer.
        unsafe { *object = std::ptr::null_mut() };
        kNotImplemented
    }
}

impl IComponentHandlerTrait for Host {
    unsafe fn beginEdit(&self, _: ParamID) -> tresult {
        kResultOk
    }

    unsafe fn performEdit(&self, _: ParamID, _: ParamValue) -> tresult {
        kResultOk
    }

    unsafe fn endEdit(&self, _: ParamID) -> tresult {
        kResultOk
    }

    unsafe fn restartComponent(&self, flags: i32) -> tresult {
        if self.processing.load(Ordering::Relaxed) || thread::current().id() != self.main_thread {
            self.forbidden_restarts.fetch_add(1, Ordering::Relaxed);
        }
        self.restart.fetch_or(flags, Ordering::SeqCst);
        kResultOk
    }
}

/// State in memory.
#[derive(Default)]
pub struct Stream {
    bytes: RefCell<Vec<u8>>,
    position: Cell<usize>,
}

impl Stream {
    pub fn new(bytes: &[u8]) -> ComWrapper<Self> {
        ComWrapper::new(Self { bytes: RefCell::new(bytes.to_vec()), position: Cell::new(0) })
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.borrow().clone()
    }
}

impl Class for Stream {
    type Interfaces = (IBStream,);
}

impl IBStreamTrait for Stream {
    unsafe fn read(&self, buffer: *mut c_void, count: i32, read: *mut i32) -> tresult {
        let bytes = self.bytes.borrow();
        let rest = bytes.get(self.position.get()..).unwrap_or(&[]);
        let count = usize::try_from(count).unwrap_or(0).min(rest.len());
        // SAFETY: the plugin vouches for the buffer; `read` may be null.
        unsafe {
            std::ptr::copy_nonoverlapping(rest.as_ptr(), buffer.cast(), count);
            if let Some(read) = read.as_mut() {
                *read = count as i32;
            }
        }
        self.position.set(self.position.get() + count);
        kResultOk
    }

    unsafe fn write(&self, buffer: *mut c_void, count: i32, written: *mut i32) -> tresult {
        let Ok(count) = usize::try_from(count) else { return kInvalidArgument };
        let mut bytes = self.bytes.borrow_mut();
        let end = self.position.get() + count;
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        // SAFETY: the plugin vouches for the buffer; `written` may be null.
        unsafe {
            bytes[self.position.get()..end].copy_from_slice(std::slice::from_raw_parts(buffer.cast(), count));
            if let Some(written) = written.as_mut() {
                *written = count as i32;
            }
        }
        self.position.set(end);
        kResultOk
    }

    unsafe fn seek(&self, position: i64, mode: i32, result: *mut i64) -> tresult {
        use IBStream_::IStreamSeekMode_::*;
        // The bindings' enums are signed on some systems only.
        let base = match i64::from(mode) {
            mode if mode == i64::from(kIBSeekSet) => 0,
            mode if mode == i64::from(kIBSeekCur) => self.position.get() as i64,
            mode if mode == i64::from(kIBSeekEnd) => self.bytes.borrow().len() as i64,
            _ => return kInvalidArgument,
        };
        let Ok(position) = usize::try_from(base + position) else { return kInvalidArgument };
        self.position.set(position);
        // SAFETY: `result` may be null.
        if let Some(result) = unsafe { result.as_mut() } {
            *result = position as i64;
        }
        kResultOk
    }

    unsafe fn tell(&self, position: *mut i64) -> tresult {
        // SAFETY: the plugin vouches for the pointer.
        unsafe { *position = self.position.get() as i64 };
        kResultOk
    }
}

/// One parameter's change, at the first frame of the block.
#[derive(Default)]
pub struct Change {
    id: Cell<ParamID>,
    value: Cell<ParamValue>,
}

impl Class for Change {
    type Interfaces = (IParamValueQueue,);
}

impl IParamValueQueueTrait for Change {
    unsafe fn getParameterId(&self) -> ParamID {
        self.id.get()
    }

    unsafe fn getPointCount(&self) -> i32 {
        1
    }

    unsafe fn getPoint(&self, index: i32, offset: *mut i32, value: *mut ParamValue) -> tresult {
        if index != 0 {
            return kInvalidArgument;
        }
        // SAFETY: the plugin vouches for the pointers.
        unsafe {
            *offset = 0;
            *value = self.value.get();
        }
        kResultOk
    }

    unsafe fn addPoint(&self, _: i32, _: ParamValue, _: *mut i32) -> tresult {
        kNotImplemented
    }
}

/// Parameter changes for the next block. All memory is made at once: pushing does not allocate.
pub struct Changes {
    changes: [ComWrapper<Change>; 64],
    count: Cell<usize>,
}

impl Changes {
    pub fn new() -> ComWrapper<Self> {
        let changes = std::array::from_fn(|_| ComWrapper::new(Change::default()));
        ComWrapper::new(Self { changes, count: Cell::new(0) })
    }

    pub fn push(&self, id: ParamID, value: ParamValue) {
        let change = self.changes.get(self.count.get()).expect("at most 64 changes a block");
        change.id.set(id);
        change.value.set(value);
        self.count.set(self.count.get() + 1);
    }

    pub fn clear(&self) {
        self.count.set(0);
    }
}

impl Class for Changes {
    type Interfaces = (IParameterChanges,);
}

impl IParameterChangesTrait for Changes {
    unsafe fn getParameterCount(&self) -> i32 {
        self.count.get() as i32
    }

    unsafe fn getParameterData(&self, index: i32) -> *mut IParamValueQueue {
        let change = usize::try_from(index).ok().filter(|index| *index < self.count.get());
        change.map_or(std::ptr::null_mut(), |index| borrowed(&self.changes[index]))
    }

    unsafe fn addParameterData(&self, _: *const ParamID, _: *mut i32) -> *mut IParamValueQueue {
        std::ptr::null_mut()
    }
}

/// A pointer to one of an object's interfaces, without a reference of its own.
pub fn borrowed<C: Class, I: Interface>(object: &ComWrapper<C>) -> *mut I {
    object.as_com_ref::<I>().map_or(std::ptr::null_mut(), |interface| interface.as_ptr())
}
