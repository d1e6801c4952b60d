/// What the frame of every signed-in page shows.
#[derive(Debug, Clone)]
pub struct Portal {
    /// Whose portal it is.
    pub organization: String,
    /// Who is signed in.
    pub full_name: String,
    /// Whether the menu has Settings.
    pub is_manager: bool,
    /// The key of the page in the menu.
    pub here: &'static str,
}
