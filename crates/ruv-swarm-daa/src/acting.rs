//! Traits whose acting methods are plain functions by default and async with the feature `async`.

macro_rules! acting_trait {
    (
        $(#[$attribute:meta])*
        pub trait $name:ident { $($items:tt)* }
        acting { $($(#[$doc:meta])* fn $method:ident($($arguments:tt)*) -> $output:ty;)* }
    ) => {
        #[cfg(not(feature = "async"))]
        $(#[$attribute])*
        pub trait $name: Send + Sync {
            $($items)*
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// Whatever the implementation cannot do.
                fn $method($($arguments)*) -> crate::DAAResult<$output>;
            )*
        }

        #[cfg(feature = "async")]
        $(#[$attribute])*
        #[async_trait::async_trait]
        pub trait $name: Send + Sync {
            $($items)*
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// Whatever the implementation cannot do.
                async fn $method($($arguments)*) -> crate::DAAResult<$output>;
            )*
        }
    };
}

pub(crate) use acting_trait;
